-- The event right before the one at ($5, $6) in each group ($2) of the tenant $1, between the times $3 and $4: one by one.
SELECT u.n, e.timestamp, e.id, e.source_module
FROM unnest($2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::uuid[])
    WITH ORDINALITY AS u (correlation_id, from_at, to_at, at, id, n)
CROSS JOIN LATERAL (
    SELECT timestamp, id, source_module FROM events e
    WHERE e.tenant_id = $1 AND e.correlation_id = u.correlation_id
      -- The stretch of all of them, which excludes chunks when the statement is planned.
      AND e.timestamp >= $7 AND e.timestamp <= $8
      AND e.timestamp >= u.from_at AND e.timestamp <= u.to_at AND (e.timestamp, e.id) < (u.at, u.id)
    ORDER BY e.timestamp DESC, e.id DESC LIMIT 1
) e
