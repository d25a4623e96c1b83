-- The three roles of an embedded cluster, made by the bootstrap superuser in the database "postgres" at every start.
-- Idempotent: a role that exists keeps its settings, and the attributes that protect it are put back.

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['tidegate_owner', 'tidegate_writer', 'tidegate_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role_name) THEN
            EXECUTE format('CREATE ROLE %I', role_name);
        END IF;
        EXECUTE format('ALTER ROLE %I LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS', role_name);
        -- COPY errors are located by their CONTEXT line, which translations word differently. Only a superuser may
        -- set it, so it is set here and not by the sessions.
        EXECUTE format('ALTER ROLE %I SET lc_messages = %L', role_name, 'C');
    END LOOP;
END
$$;

-- The owner's jobs watch replication, locks and sizes of sessions that are not its own.
GRANT pg_monitor TO tidegate_owner;
