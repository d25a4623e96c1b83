-- Of the children ($2 names of their parents, $3 ids) of the tenant $1, whose parent is found, those that had one in another
-- source meanwhile: they wait no longer, and that pair goes. Pairs lie from $4 to $5.
WITH replaced AS (
    DELETE FROM orphans o
    USING unnest($2::uuid[], $3::uuid[]) AS u (name, id)
    WHERE o.tenant_id = $1 AND o.parent_event_id = u.name AND o.event_id = u.id AND o.matched
    RETURNING o.event_id
)
DELETE FROM correlations c
USING replaced r
WHERE c.tenant_id = $1 AND c.related_event_id = r.event_id AND c.timestamp >= $4 AND c.timestamp <= $5
  AND c.correlation_type = 'causal' AND c.metadata ->> 'rule' = 'parent'
