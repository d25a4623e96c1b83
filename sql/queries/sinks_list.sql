-- Logins of sinks, and which tenants each may commit for.
SELECT m.rolname::text, array_remove(array_agg(s.tenant_id ORDER BY s.tenant_id), NULL)
FROM pg_auth_members a
JOIN pg_roles g ON g.oid = a.roleid AND g.rolname = 'tidegate_sinks'
JOIN pg_roles m ON m.oid = a.member
LEFT JOIN tidegate.consumer_sinks s ON s.login = m.rolname
GROUP BY m.rolname ORDER BY m.rolname
