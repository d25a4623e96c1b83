-- Notes runs of the job $1: pause between runs $2 (s), duration of the last $3 (s), counts $4, its error $5 or null, runs since
-- the last note $6.
INSERT INTO job_runs AS j
    (job, interval_s, started_at, finished_at, counts, last_error, last_error_at, runs, failures)
VALUES ($1::text, $2::float8, now() - make_interval(secs => $3::float8), now(), $4::jsonb, $5::text,
        CASE WHEN $5 IS NOT NULL THEN now() END, $6::bigint, ($5 IS NOT NULL)::int)
ON CONFLICT (job) DO UPDATE SET
    interval_s = excluded.interval_s,
    started_at = excluded.started_at,
    finished_at = excluded.finished_at,
    counts = CASE WHEN excluded.last_error IS NULL THEN excluded.counts ELSE j.counts END,
    last_error = coalesce(excluded.last_error, j.last_error),
    last_error_at = coalesce(excluded.last_error_at, j.last_error_at),
    runs = j.runs + excluded.runs,
    failures = j.failures + excluded.failures
