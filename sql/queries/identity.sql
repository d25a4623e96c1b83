-- Which database this is: the installation's id, the last number of a batch that it has given out, and whether it has
-- TimescaleDB; and of a server that takes writes the cluster and its timeline, which a promotion makes greater.
SELECT id, coalesce(pg_sequence_last_value('tidegate.ingest_batch_id'), 0) AS batches,
    EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') AS has_timescaledb,
    (SELECT system_identifier FROM pg_control_system()) AS system,
    CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END AS timeline
FROM tidegate.installation
