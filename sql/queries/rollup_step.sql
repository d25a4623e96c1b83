-- What of level $1 is to be closed next: where it was, from and to. Buckets close $2 seconds after their end. What the level
-- keeps no longer ($3 seconds; null: forever) is passed over, and at most $4 seconds are closed at once.
SELECT closed_until, next.from_at,
       least(date_bin(width, now() - make_interval(secs => $2::float8), epoch.at),
             date_bin(width, next.from_at + make_interval(secs => $4::float8), epoch.at)) AS to_at
FROM rollup_levels
CROSS JOIN (SELECT TIMESTAMPTZ '1970-01-01 00:00:00+00' AS at) epoch
CROSS JOIN LATERAL (
    SELECT greatest(closed_until, date_bin(width, now() - make_interval(secs => $3::float8), epoch.at)) AS from_at
) next
WHERE level = $1
