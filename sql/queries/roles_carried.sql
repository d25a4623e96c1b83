-- The statements that make the roles of this server on another one, in their order: those that are no superuser's and not
-- PostgreSQL's own. $1 is the name of the database there. Of each: the role (empty: all of them), whether it only makes the role,
-- whether it is about the database, and the statement. Passwords go as the verifiers that are stored.
WITH carried AS (
    SELECT * FROM pg_authid WHERE NOT rolsuper AND rolname !~ '^pg_'
), settings AS (
    SELECT coalesce(r.rolname, '') AS role, s.setdatabase <> 0 AS in_database,
           split_part(c.setting, '=', 1) AS name, substr(c.setting, strpos(c.setting, '=') + 1) AS value
    FROM pg_db_role_setting s
    CROSS JOIN LATERAL unnest(s.setconfig) AS c(setting)
    LEFT JOIN carried r ON r.oid = s.setrole
    WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
      AND (r.oid IS NOT NULL OR s.setrole = 0 AND s.setdatabase <> 0)
      -- Of a restore that goes on or was broken off, and of no other database.
      AND c.setting NOT LIKE 'timescaledb.restoring=%'
), statements AS (
    SELECT 1 AS step, rolname::text AS role, true AS makes, false AS in_database, format('CREATE ROLE %I', rolname) AS statement
    FROM carried
    UNION ALL
    SELECT 2, rolname::text, false, false, format('ALTER ROLE %I WITH %s %s %s %s %s %s CONNECTION LIMIT %s%s%s', rolname,
               CASE WHEN rolcanlogin THEN 'LOGIN' ELSE 'NOLOGIN' END,
               CASE WHEN rolinherit THEN 'INHERIT' ELSE 'NOINHERIT' END,
               CASE WHEN rolcreaterole THEN 'CREATEROLE' ELSE 'NOCREATEROLE' END,
               CASE WHEN rolcreatedb THEN 'CREATEDB' ELSE 'NOCREATEDB' END,
               CASE WHEN rolreplication THEN 'REPLICATION' ELSE 'NOREPLICATION' END,
               CASE WHEN rolbypassrls THEN 'BYPASSRLS' ELSE 'NOBYPASSRLS' END,
               rolconnlimit,
               CASE WHEN rolpassword IS NULL THEN '' ELSE format(' PASSWORD %L', rolpassword) END,
               CASE WHEN rolvaliduntil IS NULL THEN '' ELSE format(' VALID UNTIL %L', rolvaliduntil) END)
    FROM carried
    UNION ALL
    SELECT 3, m.rolname::text, false, false, format('GRANT %I TO %I%s', g.rolname, m.rolname,
               CASE WHEN a.admin_option THEN ' WITH ADMIN OPTION' ELSE '' END)
    FROM pg_auth_members a
    JOIN pg_authid g ON g.oid = a.roleid
    JOIN carried m ON m.oid = a.member
    WHERE NOT g.rolsuper
    UNION ALL
    -- The value of a setting that is a list of names is stored as it is written.
    SELECT 4, role::text, false, in_database, format('ALTER %s%s SET %I TO %s',
               CASE WHEN role = '' THEN format('DATABASE %I', $1::text) ELSE format('ROLE %I', role) END,
               CASE WHEN role <> '' AND in_database THEN format(' IN DATABASE %I', $1::text) ELSE '' END, name,
               CASE WHEN name IN ('search_path', 'temp_tablespaces', 'session_preload_libraries', 'local_preload_libraries')
                    THEN value ELSE quote_literal(value) END)
    FROM settings
)
SELECT role, makes, in_database, statement FROM statements ORDER BY step, role, statement
