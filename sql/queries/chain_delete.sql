-- Takes away the pairs of the tenant $1 that a shared correlation id made for the later events $2 at $3, but those with the
-- earlier events $4. All lie from $5 to $6.
DELETE FROM correlations c
USING unnest($2::uuid[], $3::timestamptz[], $4::uuid[]) AS u (related_id, at, keep_id)
WHERE c.tenant_id = $1 AND c.timestamp >= $5 AND c.timestamp <= $6
  AND c.related_event_id = u.related_id AND c.timestamp = u.at AND c.primary_event_id IS DISTINCT FROM u.keep_id
  AND c.correlation_type = 'causal' AND c.metadata ->> 'rule' = 'correlation_id'
