-- The level $1 was refreshed at $2 up to $3 seconds before that, and back to $4 seconds: closed as far as that reaches, but
-- not over a gap.
UPDATE rollup_levels
SET refreshed_at = $2,
    closed_until = CASE
        WHEN isfinite(closed_until) AND closed_until < $2 - make_interval(secs => $4::float8) THEN closed_until
        ELSE greatest(closed_until,
            date_bin(width, $2 - make_interval(secs => $3::float8), TIMESTAMPTZ '1970-01-01 00:00:00+00')) END
WHERE level = $1 AND (refreshed_at IS NULL OR refreshed_at < $2 OR refreshed_at > now())
