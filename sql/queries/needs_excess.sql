-- What the connecting role may do beyond reading, and beyond adding rows.
SELECT r.rolsuper, has_schema_privilege('tidegate', 'CREATE'),
    EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = 'tidegate' AND c.relname IN ('events', 'metrics')
              AND has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE')),
    EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = 'tidegate' AND c.relname IN ('events', 'metrics', 'ingest_ledger')
              AND has_table_privilege(c.oid, 'INSERT'))
FROM pg_roles r WHERE r.rolname = current_user
