-- Notes that something ($3) of the tenant $1 was refused $2 times; whether it is the first time.
INSERT INTO over_quota AS o (what, tenant_id, refused) VALUES ($3, $1, $2)
ON CONFLICT (what, tenant_id) DO UPDATE SET refused = o.refused + excluded.refused, at = now()
RETURNING refused = $2 AND since = now()
