-- Takes from PUBLIC, in this database, what a login for reading has no use for: temporary tables, new objects, advisory locks,
-- large objects, messages in the WAL, jobs of TimescaleDB. The service keeps what it needs of them. Run by a superuser or the
-- database's owner; what the user may not do is left as it is. Changed only where it differs.
SET client_min_messages = error;
DO $rights$
DECLARE
    change text;
    made   record;
BEGIN
    -- What the service uses itself, before it is taken from everybody.
    FOR made IN
        SELECT p.oid::regprocedure AS function, r.rolname AS role
        FROM pg_proc p
        JOIN pg_roles r ON r.rolname IN ('tidegate_owner', 'tidegate_writer')
        WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.oid::regprocedure::text = 'pg_try_advisory_xact_lock(bigint)'
           OR r.rolname = 'tidegate_owner' AND p.prokind IN ('f', 'p') AND p.pronamespace = 'public'::regnamespace
              AND p.proname IN ('add_job', 'alter_job', 'delete_job', 'run_job')
    LOOP
        BEGIN
            EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %I', made.function, made.role);
        EXCEPTION WHEN insufficient_privilege THEN NULL;
        END;
    END LOOP;

    FOR change IN
        SELECT format('GRANT TEMPORARY ON DATABASE %I TO tidegate_owner, tidegate_writer', current_database())
        WHERE has_database_privilege('public', current_database(), 'TEMPORARY')
        UNION ALL
        SELECT format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database())
        WHERE has_database_privilege('public', current_database(), 'TEMPORARY')
        UNION ALL
        SELECT 'REVOKE CREATE ON SCHEMA public FROM PUBLIC' WHERE has_schema_privilege('public', 'public', 'CREATE')
        UNION ALL
        SELECT format('REVOKE EXECUTE ON ROUTINE %s FROM PUBLIC', p.oid::regprocedure)
        FROM pg_proc p
        WHERE has_function_privilege('public', p.oid, 'EXECUTE')
          AND (p.pronamespace = 'pg_catalog'::regnamespace
               AND (p.proname ~ '^pg_(try_)?advisory_' OR p.proname IN ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_import', 'lo_put',
                    'lo_truncate', 'lo_truncate64', 'lo_unlink', 'lowrite', 'pg_logical_emit_message'))
               OR p.pronamespace = 'public'::regnamespace AND p.proname IN ('add_job', 'alter_job', 'delete_job', 'run_job')
                  AND EXISTS (SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
                              WHERE d.objid = p.oid AND d.deptype = 'e' AND e.extname = 'timescaledb'))
    LOOP
        BEGIN
            EXECUTE change;
        EXCEPTION WHEN insufficient_privilege THEN NULL;
        END;
    END LOOP;
END
$rights$;
RESET client_min_messages;
