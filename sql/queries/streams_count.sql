-- How many streams the tenant $1 has, counted to $2; found by going through the log's key from one to the next, whose rows are very many.
WITH RECURSIVE names AS (
    (SELECT stream, 1::bigint AS n FROM batch_log WHERE tenant_id = $1 ORDER BY stream LIMIT 1)
    UNION ALL
    SELECT l.stream, n.n + 1 FROM names n CROSS JOIN LATERAL (
        SELECT stream FROM batch_log WHERE tenant_id = $1 AND stream > n.stream ORDER BY stream LIMIT 1
    ) l
    WHERE n.n < $2
)
SELECT count(*) FROM names
