-- What requests may do that name the keys $1: their hashes, scopes, ends and limits, and their organizations. No row:
-- revoked, or its organization is deactivated.
SELECT k.id, k.key_hash, k.scopes, k.expires_at, o.tenant_id,
    k.events_per_second, k.bytes_per_second, k.burst_seconds,
    o.events_retention_days, o.metrics_retention_days, o.correlations_retention_days
FROM api_keys k
JOIN organizations o ON o.id = k.org_id
WHERE k.id = ANY ($1) AND k.revoked_at IS NULL AND o.is_active
