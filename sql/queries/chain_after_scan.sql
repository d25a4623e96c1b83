-- As chain_after.sql, for many groups at once: one scan of the stretch $7 to $8 in which all their neighbours are.
SELECT DISTINCT ON (u.n) u.n, e.timestamp, e.id, e.source_module
FROM unnest($2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::uuid[])
    WITH ORDINALITY AS u (correlation_id, from_at, to_at, at, id, n)
JOIN events e ON e.correlation_id = u.correlation_id
    AND e.timestamp >= u.from_at AND e.timestamp <= u.to_at AND (e.timestamp, e.id) > (u.at, u.id)
WHERE e.tenant_id = $1 AND e.timestamp >= $7 AND e.timestamp <= $8
ORDER BY u.n, e.timestamp ASC, e.id ASC
