-- The logins that people have: name, how many sessions each may have and has, and whether it reads one organization alone.
SELECT r.rolname::text, r.rolconnlimit, (SELECT count(*) FROM pg_stat_activity a WHERE a.usesysid = r.oid),
       g.rolname = 'tidegate_tenants'
FROM pg_roles g
JOIN pg_auth_members m ON m.roleid = g.oid
JOIN pg_roles r ON r.oid = m.member AND r.rolcanlogin
WHERE g.rolname IN ('tidegate_people', 'tidegate_tenants')
ORDER BY r.rolname
