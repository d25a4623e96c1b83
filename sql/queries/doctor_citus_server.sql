-- What a server of Citus is, asked there: the extension's version, settings that moves and transactions depend on, replication slots that
-- are taken, cells whose shards are not here, and what is left of cells that were made again.
SELECT (SELECT extversion FROM pg_extension WHERE extname = 'citus'),
       current_setting('wal_level'),
       current_setting('max_prepared_transactions')::bigint, current_setting('max_connections')::bigint,
       current_setting('max_replication_slots')::bigint, (SELECT count(*) FROM pg_replication_slots),
       current_setting('max_wal_senders')::bigint, current_setting('max_logical_replication_workers')::bigint,
       current_setting('citus.enable_ddl_propagation') = 'off' AND current_setting('citus.enable_manual_changes_to_shards') = 'on',
       ARRAY(SELECT n.nspname::text FROM pg_namespace n WHERE n.nspname LIKE 'tidegate\_left\_%' OR n.nspname LIKE 'tidegate\_cell\_%' AND NOT EXISTS (
           SELECT FROM pg_dist_shard s JOIN pg_dist_placement p ON p.shardid = s.shardid JOIN pg_dist_local_group g ON g.groupid = p.groupid
           WHERE s.logicalrelid = 'tidegate.ingest_ledger'::regclass AND n.nspname = 'tidegate_cell_' || s.shardid) ORDER BY 1)
