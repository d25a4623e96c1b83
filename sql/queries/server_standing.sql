-- How a server stands among those of its cluster: whether it is a standby, whether it refuses writes, which cluster it is, on
-- which timeline it takes writes, and how far it has come: what it has written, or of a standby replayed. It is asked of
-- settings and functions that every role may use.
SELECT pg_is_in_recovery() AS standby, current_setting('transaction_read_only')::boolean AS read_only,
    (SELECT system_identifier FROM pg_control_system()) AS system,
    CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END AS timeline,
    (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0')::bigint AS position
