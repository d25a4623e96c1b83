-- Sessions, newest first: of the user $1, or with null of all that the transaction may see; and whether each is good, which one
-- that was not used for $2 seconds is not.
SELECT s.id, s.user_id, u.email, u.role, o.tenant_id, s.created_at, s.expires_at, s.last_used_at, s.revoked_at, host(s.address), s.user_agent,
    s.revoked_at IS NULL AND s.expires_at > now() AND s.last_used_at > now() - make_interval(secs => $2::double precision)
        AND u.is_active AND o.is_active
FROM sessions s JOIN users u ON u.id = s.user_id JOIN organizations o ON o.id = u.org_id
WHERE $1::uuid IS NULL OR s.user_id = $1
ORDER BY s.id DESC
