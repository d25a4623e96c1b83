-- Notes an administrative act: $1 tenant, $2 kind of the actor, $3 its id, $4 its name (null: the label of the key), $5 action, $6 target,
-- $7 details, $8 address, $9 request. In the transaction of the act, so that there is not one without the other.
INSERT INTO audit_log (tenant_id, actor_kind, actor_id, actor, action, target, details, address, request_id)
SELECT $1, $2, $3, coalesce($4, (SELECT label FROM api_keys WHERE id = $3), ''), $5, $6, $7, $8, $9
