-- The partitions of the relations $1, in the columns of lifecycle_chunks.sql; nothing is in a columnstore here.
SELECT p.relname::text AS relation,
       format('%I.%I', n.nspname, c.relname) AS chunk,
       (extract(epoch FROM bound[1]::timestamptz) * 1000000)::bigint AS from_us,
       (extract(epoch FROM bound[2]::timestamptz) * 1000000)::bigint AS to_us,
       0 AS status,
       NULL::text AS columnstore
FROM pg_inherits i
JOIN pg_class p ON p.oid = i.inhparent AND p.relnamespace = 'tidegate'::regnamespace
JOIN pg_class c ON c.oid = i.inhrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid), $$FROM \('([^']+)'\) TO \('([^']+)'\)$$) AS bound
WHERE p.relname = ANY ($1::text[]) AND NOT i.inhdetachpending AND bound IS NOT NULL
ORDER BY 4, 1, 2
