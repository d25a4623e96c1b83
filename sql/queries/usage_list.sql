-- What was sent, by tenant and day of UTC, the newest first: of the tenant $1, of days that have a part in [$2, $3); null: no bound. As
-- text, for a command that prints it.
SELECT day::text, tenant_id, requests::text, events::text, samples::text, rejected::text, bytes::text
FROM tenant_usage
WHERE ($1::text IS NULL OR tenant_id = $1)
  AND ($2::date IS NULL OR day >= $2) AND ($3::date IS NULL OR day <= $3)
ORDER BY day DESC, tenant_id DESC
