-- Refreshes the continuous aggregate $1 between the ages of $2 and $3 seconds, every $4 seconds, $5 buckets in a
-- transaction. The oldest first: the watermark must not pass what is not materialized.
SELECT public.add_continuous_aggregate_policy(
    ($1::text)::regclass,
    start_offset => make_interval(secs => $2::float8),
    end_offset => make_interval(secs => $3::float8),
    schedule_interval => make_interval(secs => $4::float8),
    buckets_per_batch => $5,
    refresh_newest_first => false
)
