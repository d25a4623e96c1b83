    -- Those behind the name $2, all where it is empty, $3 at most; found by going through the log's key from one to the next, whose
    -- rows are very many.
    WITH RECURSIVE names AS (
        (SELECT stream AS name FROM batch_log WHERE tenant_id = $1 AND stream > $2 ORDER BY stream LIMIT 1)
        UNION ALL
        SELECT l.stream FROM names n CROSS JOIN LATERAL (
            SELECT stream FROM batch_log WHERE tenant_id = $1 AND stream > n.name ORDER BY stream LIMIT 1
        ) l
    )
    SELECT name FROM names LIMIT $3
