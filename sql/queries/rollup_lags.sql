-- How many seconds each level is closed behind now, how many late buckets wait, and the seconds of the one that has waited
-- longest.
SELECT l.level, CASE WHEN isfinite(l.closed_until) THEN extract(epoch FROM now() - l.closed_until)::float8 END,
    d.buckets, d.waited_s
FROM rollup_levels l
CROSS JOIN LATERAL (
    SELECT count(*) AS buckets, extract(epoch FROM now() - min(since))::float8 AS waited_s
    FROM rollup_dirty d
    WHERE d.level = l.level
) d
ORDER BY l.width, l.level DESC
