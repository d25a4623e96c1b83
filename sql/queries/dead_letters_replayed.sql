-- Notes what came of the replays of dead letters, one for each element of the arrays. What was stored stays stored.
UPDATE dead_letter_events d
SET replayed_at = r.at, outcome = r.outcome, outcome_code = r.code, outcome_detail = r.detail
FROM unnest($1::text[], $2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::text[]) AS r (tenant_id, id, at, outcome, code, detail)
WHERE d.tenant_id = r.tenant_id AND d.id = r.id AND d.outcome IS DISTINCT FROM 'stored'
