-- Parked events of the group $1 of the tenant $2 behind the offset $3, $4 at most.
SELECT p."offset", p.dead_letter_id, p.parked_at, p.state, p.deliveries, d.code, d.reason, d.event_id, d.outcome, d.outcome_detail,
       CASE WHEN octet_length(d.raw) <= $5 THEN convert_from(d.raw, 'UTF8') END
FROM consumer_parked p
LEFT JOIN dead_letter_events d ON d.tenant_id = $2 AND d.id = p.dead_letter_id
WHERE p.group_id = $1 AND p."offset" > $3 AND p.state IN ('parked', 'replaying')
ORDER BY p."offset" LIMIT $4
