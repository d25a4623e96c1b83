-- The continuous aggregates with their refresh policies, if they have one, and where they stand.
SELECT a.user_view_name::text AS buckets,
       -- Where the materialized buckets end; null: there are none.
       CASE WHEN w.internal > -210866803200000000 THEN _timescaledb_functions.to_timestamp(w.internal) END AS watermark,
       j.id AS job_id,
       extract(epoch FROM (j.config ->> 'start_offset')::interval)::float8 AS start_offset_s,
       extract(epoch FROM (j.config ->> 'end_offset')::interval)::float8 AS end_offset_s,
       coalesce(j.scheduled, false) AS scheduled,
       coalesce(s.last_run_status = 'Failed', false) AS failed,
       coalesce(s.job_status = 'Running', false) AS running,
       -- When the worker's run began that was the last to end well.
       CASE WHEN s.last_run_status = 'Success' AND s.last_successful_finish <= now() THEN s.last_successful_finish - s.last_run_duration END AS worked_at,
       -- Null also when the clock was set back since: by what it says now nobody has refreshed it yet.
       CASE WHEN l.refreshed_at <= now() THEN extract(epoch FROM now() - l.refreshed_at)::float8 END AS age_s,
       CASE WHEN isfinite(l.closed_until) THEN extract(epoch FROM now() - l.closed_until)::float8 END AS closed_s,
       current_setting('timescaledb.max_background_workers')::integer AS workers
FROM _timescaledb_catalog.continuous_agg a
JOIN rollup_levels l ON a.user_view_name IN (l.level, l.level || '_buckets')
CROSS JOIN LATERAL (SELECT _timescaledb_functions.cagg_watermark(a.mat_hypertable_id) AS internal) w
LEFT JOIN _timescaledb_config.bgw_job j
    ON j.hypertable_id = a.mat_hypertable_id AND j.proc_name = 'policy_refresh_continuous_aggregate'
LEFT JOIN timescaledb_information.job_stats s ON s.job_id = j.id
WHERE a.user_view_schema = 'tidegate'
