-- The cells: one for each range of hashes of tenants, with where it is and its shards of what COPY writes to. `placement` is
-- another one after each move, also where the cell comes back to a node that had it.
SELECT l.shardminvalue::int AS first_hash, l.shardmaxvalue::int AS last_hash, n.nodename AS host, n.nodeport AS port, n.groupid AS node,
    p.placementid AS placement, format('tidegate_cell_%s', l.shardid) AS name,
    format('tidegate.events_%s', e.shardid) AS events, format('tidegate.metrics_%s', m.shardid) AS metrics
FROM pg_dist_shard l
JOIN pg_dist_shard e ON e.logicalrelid = 'tidegate.events'::regclass AND e.shardminvalue = l.shardminvalue
JOIN pg_dist_shard m ON m.logicalrelid = 'tidegate.metrics'::regclass AND m.shardminvalue = l.shardminvalue
JOIN pg_dist_placement p ON p.shardid = l.shardid AND p.shardstate = 1
JOIN pg_dist_node n ON n.groupid = p.groupid AND n.noderole = 'primary' AND n.isactive
WHERE l.logicalrelid = 'tidegate.ingest_ledger'::regclass
ORDER BY first_hash
