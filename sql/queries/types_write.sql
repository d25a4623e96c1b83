-- Makes the types of the tenant $1 in the minutes from $2 up to $3 those given, columns side by side; returns the minutes in which
-- anything changed.
WITH given AS (
    SELECT * FROM unnest($4::integer[], $5::text[], $6::text[], $7::uuid[], $8::timestamptz[])
        AS u (minute, source_module, event_type, first_id, first_at)
), gone AS (
    DELETE FROM type_minutes t
    WHERE t.tenant_id = $1 AND t.minute >= $2 AND t.minute < $3
      AND NOT EXISTS (SELECT FROM given g WHERE g.minute = t.minute AND g.source_module = t.source_module
                      AND g.event_type = t.event_type)
    RETURNING minute
), changed AS (
    INSERT INTO type_minutes AS t (tenant_id, minute, source_module, event_type, first_id, first_at)
    SELECT $1, * FROM given ORDER BY 1, 2, 3, 4
    ON CONFLICT (tenant_id, minute, source_module, event_type) DO UPDATE
        SET first_id = excluded.first_id, first_at = excluded.first_at
        WHERE (t.first_id, t.first_at) IS DISTINCT FROM (excluded.first_id, excluded.first_at)
    RETURNING minute
)
SELECT minute FROM gone UNION SELECT minute FROM changed
