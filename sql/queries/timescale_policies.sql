-- Makes chunk width and policies of events what the configuration says; idempotent, run by the owner at start.
-- Settings tidegate.chunk_s, tidegate.compress_s and tidegate.drop_s (seconds) are set by the caller for its transaction.
-- Compression at minute 10 of every 12th hour, retention at 06:10: their runs do not meet (run together they were
-- seen to deadlock). A policy is remade only when its figure changed, so that several nodes starting do not fight.
DO $policies$
DECLARE
    chunk_s    CONSTANT bigint := current_setting('tidegate.chunk_s')::bigint;
    compress_s CONSTANT bigint := current_setting('tidegate.compress_s')::bigint;
    drop_s     CONSTANT bigint := current_setting('tidegate.drop_s')::bigint;
    found      interval;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('tidegate.policies', 0));

    SELECT time_interval INTO found FROM timescaledb_information.dimensions
    WHERE hypertable_schema = 'tidegate' AND hypertable_name = 'events' AND column_name = 'timestamp';
    IF found IS DISTINCT FROM make_interval(secs => chunk_s) THEN
        PERFORM public.set_chunk_time_interval('tidegate.events', make_interval(secs => chunk_s));
    END IF;

    SELECT (config ->> 'compress_after')::interval INTO found FROM timescaledb_information.jobs
    WHERE hypertable_schema = 'tidegate' AND hypertable_name = 'events' AND proc_name = 'policy_compression';
    IF found IS NULL OR extract(epoch FROM found) <> compress_s THEN
        PERFORM public.remove_compression_policy('tidegate.events', if_exists => true);
        PERFORM public.add_compression_policy('tidegate.events', make_interval(secs => compress_s),
            schedule_interval => INTERVAL '12 hours', initial_start => TIMESTAMPTZ '2000-01-01 00:10:00+00');
    END IF;

    SELECT (config ->> 'drop_after')::interval INTO found FROM timescaledb_information.jobs
    WHERE hypertable_schema = 'tidegate' AND hypertable_name = 'events' AND proc_name = 'policy_retention';
    IF found IS NULL OR extract(epoch FROM found) <> drop_s THEN
        PERFORM public.remove_retention_policy('tidegate.events', if_exists => true);
        PERFORM public.add_retention_policy('tidegate.events', make_interval(secs => drop_s),
            schedule_interval => INTERVAL '1 day', initial_start => TIMESTAMPTZ '2000-01-01 06:10:00+00');
    END IF;
END
$policies$;
