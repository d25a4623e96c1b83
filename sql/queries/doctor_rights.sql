-- What the roles $1 may do beyond reading, for whom, and the statement that takes it away.
WITH who AS (
    SELECT oid, rolname, rolsuper FROM pg_roles WHERE rolname = ANY ($1)
), beyond AS (
    SELECT rolname, 'everything: superuser' AS what, format('ALTER ROLE %I NOSUPERUSER', rolname) AS mend FROM who WHERE rolsuper
    UNION ALL
    SELECT w.rolname, a.what, format('ALTER ROLE %I %s', w.rolname, a.mend)
    FROM who w JOIN pg_roles r USING (oid)
    CROSS JOIN LATERAL (VALUES (r.rolcreaterole, 'makes roles', 'NOCREATEROLE'), (r.rolcreatedb, 'makes databases', 'NOCREATEDB'),
        (r.rolreplication, 'replicates', 'NOREPLICATION'), (r.rolbypassrls, 'passes row security by', 'NOBYPASSRLS')) a (may, what, mend)
    WHERE a.may AND NOT w.rolsuper
    UNION ALL
    SELECT w.rolname, format('acts as %s', g.rolname), format('REVOKE %I FROM %I', g.rolname, w.rolname)
    FROM who w JOIN pg_roles g ON g.rolname IN ('tidegate_owner', 'tidegate_writer', 'pg_signal_backend', 'pg_write_all_data',
        'pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program')
    WHERE pg_has_role(w.oid, g.oid, 'MEMBER') AND NOT w.rolsuper
    UNION ALL
    -- One that reads an organization alone.
    SELECT w.rolname, format('acts as %s, and reads other organizations', g.rolname), format('REVOKE %I FROM %I', g.rolname, w.rolname)
    FROM who w JOIN pg_roles t ON t.rolname = 'tidegate_tenants' AND pg_has_role(w.oid, t.oid, 'MEMBER')
    JOIN pg_roles g ON g.rolname IN ('tidegate_reader', 'tidegate_people', 'pg_read_all_data', 'pg_read_all_stats', 'pg_monitor')
    WHERE pg_has_role(w.oid, g.oid, 'MEMBER') AND NOT w.rolsuper
    UNION ALL
    SELECT w.rolname, 'names what is in the schema tidegate', format('REVOKE USAGE ON SCHEMA tidegate FROM PUBLIC, %I', w.rolname)
    FROM who w JOIN pg_roles t ON t.rolname = 'tidegate_tenants' AND pg_has_role(w.oid, t.oid, 'MEMBER')
    WHERE has_schema_privilege(w.oid, to_regnamespace('tidegate'), 'USAGE') AND NOT w.rolsuper
    UNION ALL
    SELECT w.rolname, format('reads %I.%I of all organizations', n.nspname, c.relname),
        format('REVOKE SELECT ON %I.%I FROM PUBLIC, %I', n.nspname, c.relname, w.rolname)
    FROM who w JOIN pg_roles t ON t.rolname = 'tidegate_tenants' AND pg_has_role(w.oid, t.oid, 'MEMBER')
    JOIN pg_class c ON c.relkind IN ('r', 'p', 'v', 'f', 'm')
    JOIN pg_namespace n ON n.oid = c.relnamespace
         AND (n.nspname = 'tidegate' OR n.nspname = '_timescaledb_internal' AND c.relname ~ '^(_hyper|compress_hyper|_compressed_hypertable|_materialized)_')
    WHERE has_any_column_privilege(w.oid, c.oid, 'SELECT') AND NOT w.rolsuper
    UNION ALL
    SELECT rolname, 'makes temporary tables', format('GRANT TEMPORARY ON DATABASE %1$I TO tidegate_owner, tidegate_writer; REVOKE TEMPORARY ON DATABASE %1$I FROM PUBLIC', current_database())
    FROM who WHERE has_database_privilege(oid, current_database(), 'TEMPORARY') AND NOT rolsuper
    UNION ALL
    SELECT rolname, 'makes schemas', format('REVOKE CREATE ON DATABASE %I FROM PUBLIC, %I', current_database(), rolname)
    FROM who WHERE has_database_privilege(oid, current_database(), 'CREATE') AND NOT rolsuper
    UNION ALL
    SELECT w.rolname, format('makes objects in the schema %s', n.nspname), format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC, %I', n.nspname, w.rolname)
    FROM who w JOIN pg_namespace n ON has_schema_privilege(w.oid, n.oid, 'CREATE') AND n.nspname NOT LIKE 'pg\_%'
    WHERE NOT w.rolsuper
    UNION ALL
    SELECT w.rolname, format('writes tidegate.%I', c.relname), format('REVOKE INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER ON tidegate.%I FROM PUBLIC, %I', c.relname, w.rolname)
    FROM who w JOIN pg_class c ON c.relnamespace = to_regnamespace('tidegate') AND c.relkind IN ('r', 'p', 'v', 'f', 'm')
    WHERE has_table_privilege(w.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER') AND NOT w.rolsuper
    UNION ALL
    SELECT w.rolname, f.what,
        coalesce('GRANT EXECUTE ON ROUTINE ' || string_agg(p.oid::regprocedure::text, ', ' ORDER BY p.oid) FILTER (WHERE p.oid::regprocedure::text ~ f.kept) || ' TO ' || f.keep || '; ', '')
            || format('REVOKE EXECUTE ON ROUTINE %s FROM PUBLIC', string_agg(p.oid::regprocedure::text, ', ' ORDER BY p.oid))
    FROM who w
    CROSS JOIN (VALUES
        ('takes advisory locks (Tidegate waits for none of them; very many fill the server''s table of locks)', 'pg_catalog', '^pg_(try_)?advisory_',
            'pg_try_advisory_xact_lock\(bigint\)', 'tidegate_owner, tidegate_writer'),
        ('makes large objects', 'pg_catalog', '^(lo_creat|lo_create|lo_from_bytea|lo_import|lo_put|lo_truncate|lo_truncate64|lo_unlink|lowrite)$', NULL, NULL),
        ('writes messages into the WAL', 'pg_catalog', '^pg_logical_emit_message$', NULL, NULL),
        ('makes jobs of TimescaleDB', 'public', '^(add|alter|delete|run)_job$',
            '.', 'tidegate_owner')) f (what, schema, names, kept, keep)
    JOIN pg_proc p ON p.pronamespace = to_regnamespace(f.schema) AND p.proname ~ f.names AND has_function_privilege(w.oid, p.oid, 'EXECUTE')
    WHERE NOT w.rolsuper
    GROUP BY w.rolname, f.what, f.keep
)
SELECT what, mend, string_agg(DISTINCT rolname, ', ' ORDER BY rolname) FROM beyond GROUP BY what, mend ORDER BY what, mend
