-- The session $1 and its holder, unless it has ended or was not used for $2 seconds.
SELECT token_hash, user_id, email, role, tenant_id, expires_at, is_unnoted,
    events_retention_days, metrics_retention_days, correlations_retention_days
FROM look_up_session($1, $2)
