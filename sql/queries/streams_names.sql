    -- Those behind the name $2, all where it is empty, $3 at most: of the log, found by going through its key from one to the next,
    -- whose rows are very many; and those that are defined. Those that were deleted are left out.
    WITH RECURSIVE names AS (
        (SELECT stream AS name FROM batch_log WHERE tenant_id = $1 AND stream > $2 ORDER BY stream LIMIT 1)
        UNION ALL
        SELECT l.stream FROM names n CROSS JOIN LATERAL (
            SELECT stream FROM batch_log WHERE tenant_id = $1 AND stream > n.name ORDER BY stream LIMIT 1
        ) l
    )
    SELECT name FROM (
        (SELECT n.name FROM names n
         WHERE NOT EXISTS (SELECT FROM event_streams d WHERE d.tenant_id = $1 AND d.name = n.name AND d.deleted_at IS NOT NULL)
         LIMIT $3)
        UNION
        (SELECT d.name FROM event_streams d WHERE d.tenant_id = $1 AND d.name > $2 AND d.deleted_at IS NULL ORDER BY d.name LIMIT $3)
    ) every ORDER BY name LIMIT $3
