-- Tidegate's own jobs, in the columns of lifecycle_policies.sql.
SELECT job, 'tidegate' AS by, interval_s, started_at, finished_at, finished_at + make_interval(secs => interval_s) AS next_run, counts,
       last_error, last_error_at, runs, failures, coalesce(last_error_at >= finished_at, false) AS failing
FROM job_runs
ORDER BY job
