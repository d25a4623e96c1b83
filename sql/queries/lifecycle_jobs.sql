-- Tidegate's own jobs, in the columns of lifecycle_policies.sql. What nobody has run for long has no next run.
SELECT job, 'tidegate' AS by, interval_s, started_at, finished_at,
       CASE WHEN finished_at > now() - make_interval(secs => 4 * interval_s) - INTERVAL '3 minutes'
            THEN finished_at + make_interval(secs => interval_s) END AS next_run,
       counts, last_error, last_error_at, runs, failures, coalesce(last_error_at >= finished_at, false) AS failing
FROM job_runs
ORDER BY job
