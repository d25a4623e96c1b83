-- The partitions of the relations $1, in the columns of lifecycle_chunks.sql: in a cell the shards that it has of them, elsewhere the
-- relations that Citus knows.
SELECT p.relname::text AS relation,
       coalesce(shard.name, format('%I.%I', n.nspname, c.relname)) AS chunk,
       (extract(epoch FROM bound[1]::timestamptz) * 1000000)::bigint AS from_us,
       (extract(epoch FROM bound[2]::timestamptz) * 1000000)::bigint AS to_us,
       0 AS status,
       NULL::text AS columnstore
FROM pg_inherits i
JOIN pg_class p ON p.oid = i.inhparent AND p.relnamespace = 'tidegate'::regnamespace
JOIN pg_class c ON c.oid = i.inhrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid), $$FROM \('([^']+)'\) TO \('([^']+)'\)$$) AS bound
LEFT JOIN LATERAL (
    SELECT shard_name(s.logicalrelid, s.shardid) AS name
    FROM pg_dist_shard l JOIN pg_dist_shard s ON s.shardminvalue = l.shardminvalue AND s.logicalrelid = c.oid
    WHERE l.logicalrelid = 'tidegate.ingest_ledger'::regclass AND format('tidegate_cell_%s', l.shardid) = current_schema()
) shard ON true
WHERE p.relname = ANY ($1::text[]) AND NOT i.inhdetachpending AND bound IS NOT NULL
  AND (shard.name IS NOT NULL OR current_schema() NOT LIKE 'tidegate\_cell\_%')
ORDER BY 4, 1, 2
