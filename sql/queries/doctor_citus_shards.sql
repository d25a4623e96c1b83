-- What is wrong with shards, as one line each: hashes that no cell has, shards that are elsewhere than their cell, placements that cannot
-- be read.
WITH cells AS (
    SELECT s.shardid, s.shardminvalue::bigint AS first_hash, s.shardmaxvalue::bigint AS last_hash, p.groupid
    FROM pg_dist_shard s LEFT JOIN pg_dist_placement p ON p.shardid = s.shardid AND p.shardstate = 1
    WHERE s.logicalrelid = 'tidegate.ingest_ledger'::regclass
), gaps AS (
    SELECT coalesce(lag(last_hash) OVER (ORDER BY first_hash), -2147483649) + 1 AS from_hash, first_hash - 1 AS to_hash FROM cells
    UNION ALL
    SELECT max(last_hash) + 1, 2147483647 FROM cells
)
SELECT format('no cell has the tenants whose hash is %s to %s', from_hash, to_hash) FROM gaps WHERE from_hash <= to_hash
UNION ALL
SELECT format('%s has no placement', shardid) FROM cells WHERE groupid IS NULL
UNION ALL
SELECT format('%s of %s is of no cell: its shards are others than those of ingest_ledger, or on another node', s.shardid, c.relname)
FROM pg_dist_shard s JOIN pg_class c ON c.oid = s.logicalrelid JOIN pg_dist_partition d ON d.logicalrelid = s.logicalrelid AND d.partmethod = 'h'
LEFT JOIN pg_dist_placement p ON p.shardid = s.shardid AND p.shardstate = 1
WHERE c.relnamespace = 'tidegate'::regnamespace AND NOT EXISTS (SELECT FROM cells
    WHERE cells.first_hash = s.shardminvalue::bigint AND cells.last_hash = s.shardmaxvalue::bigint AND cells.groupid = p.groupid)
ORDER BY 1
LIMIT 20
