-- Statements are counted in this database as well, where the server has the library loaded and its extension, and the user may.
DO $statements$
BEGIN
    IF current_setting('pg_stat_statements.max', true) IS NOT NULL
       AND NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_stat_statements') THEN
        CREATE EXTENSION IF NOT EXISTS pg_stat_statements WITH SCHEMA public;
    END IF;
EXCEPTION WHEN insufficient_privilege OR feature_not_supported OR undefined_file OR undefined_object THEN
    NULL;
END
$statements$;
