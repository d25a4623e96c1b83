-- What a request may do that names the key $1: its hash, scopes, end and limits, and its organization. No row: revoked, or
-- its organization is deactivated.
SELECT k.key_hash, k.scopes, k.expires_at, o.tenant_id,
    k.events_per_second, k.bytes_per_second, k.burst_seconds,
    o.events_retention_days, o.metrics_retention_days, o.correlations_retention_days
FROM api_keys k
JOIN organizations o ON o.id = k.org_id
WHERE k.id = $1 AND k.revoked_at IS NULL AND o.is_active
