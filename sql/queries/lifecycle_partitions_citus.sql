-- What lifecycle_partitions.sql lists, which is put in: in a cell the shards that it has of them, elsewhere the relations that Citus
-- knows.
SELECT p.relation, coalesce(shard.name, p.chunk) AS chunk, p.from_us, p.to_us, p.status, p.columnstore
FROM ({partitions}) p
LEFT JOIN LATERAL (
    SELECT shard_name(s.logicalrelid, s.shardid) AS name
    FROM pg_dist_shard l JOIN pg_dist_shard s ON s.shardminvalue = l.shardminvalue AND s.logicalrelid = p.chunk::regclass
    WHERE l.logicalrelid = 'tidegate.ingest_ledger'::regclass AND format('tidegate_cell_%s', l.shardid) = current_schema()
) shard ON true
WHERE shard.name IS NOT NULL OR current_schema() NOT LIKE 'tidegate\_cell\_%'
ORDER BY 4, 1, 2
