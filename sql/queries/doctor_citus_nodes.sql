-- The nodes of Citus: where, whether they are in use, and how many cells they have.
SELECT n.nodename, n.nodeport, n.groupid = 0, n.isactive, n.hasmetadata AND n.metadatasynced, n.shouldhaveshards,
       (SELECT count(*) FROM pg_dist_placement p JOIN pg_dist_shard s ON s.shardid = p.shardid
        WHERE s.logicalrelid = 'tidegate.ingest_ledger'::regclass AND p.groupid = n.groupid)
FROM pg_dist_node n WHERE n.noderole = 'primary' ORDER BY n.groupid
