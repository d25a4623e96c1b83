-- The first event of each type of the tenant $1 in the $3 minutes up to $2, the newest minute first.
SELECT source_module, event_type, minute, first_id, first_at
FROM type_minutes
WHERE tenant_id = $1 AND minute <= $2 AND minute > $2 - $3
ORDER BY minute DESC
