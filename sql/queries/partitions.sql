-- The attached partitions of the relation $1: name, lower and upper bound in microseconds since 1970.
SELECT c.oid::regclass::text,
       (extract(epoch FROM bound[1]::timestamptz) * 1000000)::bigint AS from_us,
       (extract(epoch FROM bound[2]::timestamptz) * 1000000)::bigint AS to_us
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
CROSS JOIN LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid), $$FROM \('([^']+)'\) TO \('([^']+)'\)$$) AS bound
-- A default partition, or one without a bound, is an operator's own and none of ours.
WHERE i.inhparent = ($1::text)::regclass AND NOT i.inhdetachpending AND bound IS NOT NULL
ORDER BY 2
