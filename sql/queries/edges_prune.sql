-- Gives up ends of groups in minutes from $1 up to $2, at most $3 rows of them, that are in the hours of correlation_groups as well
-- ({groups}: what of it is stored), or so old that the events themselves are asked (before minute $4). What is not there
-- yet stays: late events show in a continuous aggregate only after its next refresh.
WITH old AS MATERIALIZED (
    SELECT tenant_id, correlation_id, minute, first_at, last_at FROM group_edges
    WHERE minute >= $1 AND minute < $2
    ORDER BY minute
    LIMIT $3
), gone AS (
    DELETE FROM group_edges g USING old o
    WHERE g.tenant_id = o.tenant_id AND g.correlation_id = o.correlation_id AND g.minute = o.minute
      AND (o.minute < $4 OR EXISTS (
          SELECT FROM {groups} h
          WHERE h.tenant_id = o.tenant_id AND h.correlation_id = o.correlation_id
            AND h.bucket = date_bin(INTERVAL '1 hour', o.first_at, TIMESTAMPTZ '1970-01-01 00:00:00+00')
            AND h.first_at <= o.first_at AND h.last_at >= o.last_at))
    RETURNING 1
)
SELECT (SELECT count(*) FROM old), (SELECT max(minute) FROM old), (SELECT count(*) FROM gone)
