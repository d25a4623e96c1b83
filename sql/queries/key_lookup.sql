-- What requests may do that name the keys $1: their hashes, scopes, ends and limits, and their organizations. No row:
-- revoked, or its organization is deactivated.
SELECT id, key_hash, scopes, expires_at, tenant_id,
    events_per_second, bytes_per_second, burst_seconds,
    events_retention_days, metrics_retention_days, correlations_retention_days
FROM look_up_keys($1)
