-- The room for background workers, and how many want some: policies, and a scheduler for each database; and how many policies are
-- Tidegate's to run, because workers failed or there are none.
SELECT current_setting('timescaledb.max_background_workers')::bigint,
    current_setting('max_worker_processes')::bigint,
    current_setting('max_parallel_workers')::bigint,
    (SELECT count(*) FROM timescaledb_information.jobs WHERE scheduled AND proc_name NOT LIKE 'policy_telemetry'),
    (SELECT count(*) FROM pg_database WHERE datallowconn AND NOT datistemplate),
    (SELECT count(*) FROM timescaledb_information.jobs
     WHERE proc_name = 'policy_refresh_continuous_aggregate'
       AND NOT (scheduled AND current_setting('timescaledb.max_background_workers')::integer > 0))
