-- Which database this is: the installation's id, the last number of a batch that it has given out, and whether it has
-- TimescaleDB.
SELECT id, coalesce(pg_sequence_last_value('tidegate.ingest_batch_id'), 0) AS batches,
    EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') AS has_timescaledb
FROM tidegate.installation
