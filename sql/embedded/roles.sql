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

-- The logins that people get are members of a group that only reads, and none of the service's own roles; tidegate_guest is the
-- one that there is from the start. A session may change its settings, its number of connections not.
DO $$
BEGIN
    IF to_regrole('tidegate_people') IS NULL THEN
        CREATE ROLE tidegate_people;
    END IF;
    ALTER ROLE tidegate_people NOLOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS;
    IF to_regrole('tidegate_guest') IS NULL THEN
        CREATE ROLE tidegate_guest IN ROLE tidegate_people;
    END IF;
    ALTER ROLE tidegate_guest LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 10;
    ALTER ROLE tidegate_guest SET default_transaction_read_only = on;
    ALTER ROLE tidegate_guest SET statement_timeout = '60s';
    ALTER ROLE tidegate_guest SET idle_in_transaction_session_timeout = '60s';
END
$$;

-- Those that read one organization alone are members of this group, which has no right to any relation.
DO $$
BEGIN
    IF to_regrole('tidegate_tenants') IS NULL THEN
        CREATE ROLE tidegate_tenants;
    END IF;
    ALTER ROLE tidegate_tenants NOLOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS;
END
$$;

-- Logins of consumers that commit offsets in their own transactions are members of this group.
DO $$
BEGIN
    IF to_regrole('tidegate_sinks') IS NULL THEN
        CREATE ROLE tidegate_sinks;
    END IF;
    ALTER ROLE tidegate_sinks NOLOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS;
END
$$;

-- The owner's jobs watch replication, locks and sizes of sessions that are not its own.
GRANT pg_monitor TO tidegate_owner;
