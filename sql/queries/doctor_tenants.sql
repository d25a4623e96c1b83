-- Logins of one organization that may name the views of another: what, and the statement that takes it away, for whom.
SELECT format('reads the views of another organization (%s)', n.nspname),
       format('REVOKE USAGE ON SCHEMA %1$I FROM PUBLIC, %2$I; REVOKE SELECT ON ALL TABLES IN SCHEMA %1$I FROM PUBLIC, %2$I', n.nspname, l.login),
       l.login::text
FROM reader_logins l
JOIN pg_roles r ON r.rolname = l.login
JOIN pg_namespace n ON n.nspname IN (SELECT reader_schema(others.org_id) FROM reader_logins others)
    AND n.nspname <> reader_schema(l.org_id)
WHERE has_schema_privilege(r.oid, n.oid, 'USAGE')
ORDER BY n.nspname, l.login
