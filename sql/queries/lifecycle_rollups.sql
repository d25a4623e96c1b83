-- How far the rollups are: relation, width of a bucket and lag in seconds, until when they are stored, and how many stored buckets
-- are to be recomputed and for how long that has been so.
SELECT l.level, extract(epoch FROM l.width)::float8,
       CASE WHEN isfinite(l.closed_until) THEN l.closed_until END,
       CASE WHEN isfinite(l.closed_until) THEN extract(epoch FROM now() - l.closed_until)::float8 END,
       d.waiting, extract(epoch FROM now() - d.since)::float8
FROM rollup_levels l
CROSS JOIN LATERAL (SELECT count(*) AS waiting, min(since) AS since FROM rollup_dirty d WHERE d.level = l.level) d
ORDER BY l.width, l.level
