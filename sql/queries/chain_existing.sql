-- Pairs of the tenant $1 that a shared correlation id made, whose later event lies from $2 to $3: which of them still hold is
-- seen from the events. Pairs of parent and child are left alone.
SELECT related_event_id, related_timestamp, primary_event_id
FROM correlations
WHERE tenant_id = $1 AND timestamp >= $2 AND timestamp <= $3
  AND correlation_type = 'causal' AND metadata ->> 'rule' = 'correlation_id'
