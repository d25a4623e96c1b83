-- What is known around the events of each group ($2) in a slice, whose first lies in the minute $3 and last in $4: the last
-- event of the nearest minute before, the ends of these two minutes, the first event of the nearest minute after. At most $5
-- minutes away. Each is one probe of the index, whatever the planner thinks of a table that is filled and emptied all the time.
SELECT n, b.last_at, b.last_id, b.last_module,
    f.first_at, f.first_id, f.first_module, f.last_at, f.last_id, f.last_module,
    l.first_at, l.first_id, l.first_module, l.last_at, l.last_id, l.last_module,
    a.first_at, a.first_id, a.first_module
FROM unnest($2::uuid[], $3::integer[], $4::integer[]) WITH ORDINALITY AS u (correlation_id, first_minute, last_minute, n)
LEFT JOIN LATERAL (
    SELECT last_at, last_id, last_module FROM group_edges g
    WHERE g.tenant_id = $1 AND g.correlation_id = u.correlation_id
      AND g.minute < u.first_minute AND g.minute >= u.first_minute - $5
    ORDER BY g.minute DESC LIMIT 1
) b ON true
LEFT JOIN LATERAL (
    SELECT * FROM group_edges g
    WHERE g.tenant_id = $1 AND g.correlation_id = u.correlation_id AND g.minute = u.first_minute LIMIT 1
) f ON true
LEFT JOIN LATERAL (
    SELECT * FROM group_edges g
    WHERE g.tenant_id = $1 AND g.correlation_id = u.correlation_id AND g.minute = u.last_minute LIMIT 1
) l ON true
LEFT JOIN LATERAL (
    SELECT first_at, first_id, first_module FROM group_edges g
    WHERE g.tenant_id = $1 AND g.correlation_id = u.correlation_id
      AND g.minute > u.last_minute AND g.minute <= u.last_minute + $5
    ORDER BY g.minute LIMIT 1
) a ON true
WHERE b.last_at IS NOT NULL OR f.last_at IS NOT NULL OR l.last_at IS NOT NULL OR a.first_at IS NOT NULL
