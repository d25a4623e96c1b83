-- The parents of the orphans ($2 parents, $3 timestamps of the children) of the tenant $1, one by one in the window of each: from
-- $4 seconds before to $5 after, nearest to the child first. All of them lie from $6 to $7.
SELECT u.n, p.timestamp
FROM unnest($2::uuid[], $3::timestamptz[]) WITH ORDINALITY AS u (parent_id, at, n)
CROSS JOIN LATERAL (
    SELECT timestamp FROM events p
    WHERE p.tenant_id = $1 AND p.id = u.parent_id AND p.timestamp >= $6 AND p.timestamp <= $7
      AND p.timestamp >= u.at - make_interval(secs => $4) AND p.timestamp <= u.at + make_interval(secs => $5)
    ORDER BY p.timestamp > u.at, abs(extract(epoch FROM p.timestamp - u.at)) LIMIT 1
) p
