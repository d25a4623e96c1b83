-- The settings that durability and room depend on; how many connections this role and this database may have; and how many
-- clients are connected, which the role may not see of others without pg_read_all_stats.
SELECT current_setting('synchronous_commit'), current_setting('fsync'), current_setting('full_page_writes'),
    pg_size_bytes(current_setting('shared_buffers')), current_setting('max_locks_per_transaction')::bigint,
    pg_size_bytes(current_setting('max_wal_size')), current_setting('max_connections')::bigint,
    current_setting('superuser_reserved_connections')::bigint,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
    r.rolsuper OR pg_has_role('pg_read_all_stats', 'USAGE'), quote_ident(current_user),
    nullif(r.rolconnlimit, -1)::bigint, (SELECT nullif(datconnlimit, -1)::bigint FROM pg_database WHERE datname = current_database())
FROM pg_roles r WHERE r.rolname = current_user
