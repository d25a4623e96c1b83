-- The policies of TimescaleDB for relations of the schema: name, who runs it, pause, last and next run, last error, runs, failures.
-- One that is not scheduled, or for which the server has no workers, is run by Tidegate, and its statistics are of before. A
-- next run is one that will be: not of a policy that failed, which Tidegate takes over, nor one that nobody came for. Why one
-- failed is shown to its owner alone.
SELECT replace(replace(j.proc_name::text, 'policy_', ''), 'refresh_continuous_aggregate', 'refresh') || ' '
           || coalesce(l.level, a.view_name, j.hypertable_name)::text AS job,
       CASE WHEN w.server THEN 'timescaledb' ELSE 'tidegate' END AS by,
       extract(epoch FROM j.schedule_interval)::float8 AS interval_s,
       r.started_at,
       r.finished_at,
       CASE WHEN r.next_run > now() - 3 * j.schedule_interval - INTERVAL '3 minutes' THEN r.next_run END AS next_run,
       '{}'::jsonb AS counts,
       CASE WHEN s.total_failures > 0 THEN coalesce(e.err_message, 'the database''s log has it') END AS last_error,
       e.finish_time AS last_error_at,
       coalesce(s.total_runs, 0) AS runs,
       coalesce(s.total_failures, 0) AS failures,
       coalesce(j.scheduled AND s.last_run_status = 'Failed', false) AS failing
FROM timescaledb_information.jobs j
CROSS JOIN LATERAL (
    SELECT j.scheduled AND current_setting('timescaledb.max_background_workers')::integer > 0 AS server
) w
LEFT JOIN timescaledb_information.job_stats s ON s.job_id = j.job_id
LEFT JOIN timescaledb_information.continuous_aggregates a
    ON a.materialization_hypertable_schema = j.hypertable_schema
    AND a.materialization_hypertable_name = j.hypertable_name
LEFT JOIN rollup_levels l ON coalesce(a.view_name, j.hypertable_name) IN (l.level, l.level || '_buckets')
CROSS JOIN LATERAL (
    SELECT CASE WHEN NOT w.server THEN l.refreshed_at
                WHEN isfinite(s.last_run_started_at) THEN s.last_run_started_at END AS started_at,
           CASE WHEN NOT w.server THEN l.refreshed_at
                WHEN isfinite(s.last_run_started_at) THEN s.last_run_started_at + s.last_run_duration END AS finished_at,
           CASE WHEN NOT w.server THEN l.refreshed_at + j.schedule_interval
                WHEN s.last_run_status IS DISTINCT FROM 'Failed' AND isfinite(s.next_start) THEN s.next_start END AS next_run
) r
LEFT JOIN LATERAL (
    SELECT err_message, finish_time FROM timescaledb_information.job_errors e
    WHERE e.job_id = j.job_id ORDER BY finish_time DESC NULLS LAST LIMIT 1
) e ON true
WHERE coalesce(a.view_schema, j.hypertable_schema) = 'tidegate'
ORDER BY 1
