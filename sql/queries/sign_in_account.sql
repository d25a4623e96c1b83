-- Who has the e-mail address $1: user, hash of the password, tenant, role, whether they may sign in, and whether they did so within the last
-- $3 seconds from the address $2, of IPv6 from its /64.
SELECT u.id, u.password_hash, o.tenant_id, u.role, u.is_active AND o.is_active,
    EXISTS (
        SELECT FROM sessions s
        WHERE s.user_id = u.id AND s.created_at > now() - make_interval(secs => $3::double precision)
          AND network(set_masklen(s.address, CASE family(s.address) WHEN 6 THEN 64 ELSE 32 END))
            = network(set_masklen($2::inet, CASE family($2::inet) WHEN 6 THEN 64 ELSE 32 END))
    )
FROM users u JOIN organizations o ON o.id = u.org_id
WHERE u.email = $1
