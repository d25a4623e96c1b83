-- The logins that people have, how many sessions each may have and has.
SELECT r.rolname, r.rolconnlimit, (SELECT count(*) FROM pg_stat_activity a WHERE a.usesysid = r.oid)
FROM pg_roles r
WHERE r.rolcanlogin AND r.oid IN (SELECT member FROM pg_auth_members WHERE roleid = to_regrole('tidegate_people'))
ORDER BY r.rolname
