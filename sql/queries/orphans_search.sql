-- The events that go by the names of the orphans ($2 names, $3 timestamps, $4 ids, $5 sources of the children) of the tenant $1,
-- one by one in the window of each: from $6 seconds before to $7 after. Of each way to go by a name the nearest to the child, one
-- before it first. All of them lie from $8 to $9.
SELECT u.n, p.id, p.timestamp, p.source_module
FROM unnest($2::uuid[], $3::timestamptz[], $4::uuid[], $5::text[]) WITH ORDINALITY AS u (name, at, id, source_module, n)
CROSS JOIN LATERAL (
    SELECT DISTINCT ON (p.source_module IS NOT DISTINCT FROM u.source_module, p.id = u.name) p.id, p.timestamp, p.source_module
    FROM (
        SELECT id, timestamp, source_module FROM events
        WHERE tenant_id = $1 AND id = u.name AND timestamp >= $8 AND timestamp <= $9
        UNION ALL
        SELECT id, timestamp, source_module FROM events
        WHERE tenant_id = $1 AND bare_id = u.name AND timestamp >= $8 AND timestamp <= $9
    ) p
    WHERE p.timestamp >= u.at - make_interval(secs => $6) AND p.timestamp <= u.at + make_interval(secs => $7) AND p.id <> u.id
    ORDER BY p.source_module IS NOT DISTINCT FROM u.source_module, p.id = u.name,
        p.timestamp > u.at, abs(extract(epoch FROM p.timestamp - u.at))
) p
