-- Of the children $2 of the tenant $1, between $3 and $4, those whose pair with their parent is stored.
SELECT related_event_id
FROM correlations
WHERE tenant_id = $1 AND related_event_id = ANY ($2) AND timestamp >= $3 AND timestamp <= $4
  AND correlation_type = 'causal' AND metadata ->> 'rule' = 'parent'
