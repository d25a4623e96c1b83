-- The other events of a tenant's ($1) correlations with an event ($2, of time $3), the strongest first, at most $4.
-- Each side has an index of its own; a correlation's timestamp is the later one of its two events.
SELECT related_event_id AS id, related_timestamp AS timestamp, strength, confidence, correlation_type
FROM correlations WHERE tenant_id = $1 AND primary_event_id = $2 AND timestamp >= $3
UNION ALL
SELECT primary_event_id, primary_timestamp, strength, confidence, correlation_type
FROM correlations WHERE tenant_id = $1 AND related_event_id = $2 AND timestamp >= $3
ORDER BY strength DESC, timestamp DESC, id DESC LIMIT $4
