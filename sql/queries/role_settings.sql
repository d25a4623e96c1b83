-- The schema first on every role's search_path, so that the seed's queries run as written, and messages in the
-- language that operators search for; and what the owner may see. Needs CREATEROLE or superuser; run only when the connecting user has it.
-- Run under the lock of the installers, since two must not update the same catalogue row at once, and changed only where it
-- differs.
DO $settings$
DECLARE
    wanted  text;
    setting text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['tidegate_owner', 'tidegate_writer', 'tidegate_reader'] LOOP
        IF NOT EXISTS (
            SELECT FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole
            JOIN pg_database d ON d.oid = s.setdatabase
            WHERE r.rolname = wanted AND d.datname = current_database()
              AND 'search_path=tidegate, public' = ANY (s.setconfig)
        ) THEN
            EXECUTE format('ALTER ROLE %I IN DATABASE %I SET search_path = tidegate, public', wanted, current_database());
            IF (SELECT rolsuper FROM pg_roles WHERE rolname = session_user) THEN
                EXECUTE format('ALTER ROLE %I IN DATABASE %I SET lc_messages = ''C''', wanted, current_database());
            END IF;
        END IF;
    END LOOP;
    -- The owner's jobs, lifecycle status and doctor look at sessions, statements and sizes that are not its own.
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = session_user)
        AND NOT pg_has_role('tidegate_owner', 'pg_monitor', 'MEMBER') THEN
        BEGIN
            GRANT pg_monitor TO tidegate_owner;
        EXCEPTION WHEN unique_violation OR internal_error THEN
            -- Granted at this moment, for another database of the cluster.
            NULL;
        END;
    END IF;
END
$settings$;
