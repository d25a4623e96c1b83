-- Where the floors of the raw rows have to be now: $1 and $2 are the retentions of metrics and events in seconds. An
-- organization that keeps its rows shorter has a floor of its own. Not shorter than two days for metrics: a day's bucket is
-- closed after the day.
SELECT 'metrics' AS source, '' AS tenant_id, now() - make_interval(secs => $1::float8) AS floor
UNION ALL
SELECT 'events', '', now() - make_interval(secs => $2::float8)
UNION ALL
SELECT 'metrics', tenant_id, now() - make_interval(days => greatest(metrics_retention_days, 2))
FROM organizations WHERE greatest(metrics_retention_days, 2) * 86400.0 < $1::float8 AND metrics_retention_days IS NOT NULL
UNION ALL
SELECT 'events', tenant_id, now() - make_interval(days => events_retention_days)
FROM organizations WHERE events_retention_days * 86400.0 < $2::float8
