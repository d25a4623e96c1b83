-- The settings that durability and room depend on, and how many clients are connected.
SELECT current_setting('synchronous_commit'), current_setting('fsync'), current_setting('full_page_writes'),
    pg_size_bytes(current_setting('shared_buffers')), current_setting('max_locks_per_transaction')::bigint,
    pg_size_bytes(current_setting('max_wal_size')), current_setting('max_connections')::bigint,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')
