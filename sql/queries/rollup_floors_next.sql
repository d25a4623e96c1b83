-- Where the floors of the raw rows have to be now: $1 and $2 are the retentions of metrics and events in seconds. An
-- organization that keeps its rows shorter has a floor of its own. Not shorter than two days for metrics: a day's bucket is
-- closed after the day. An hour more for events: one is taken up to its retention, and its hour's bucket begins before it.
-- None passes what is closed of the levels $3, which are those that are kept; a level that has not begun keeps nobody waiting.
WITH closed AS (
    SELECT s.source, coalesce(min(l.closed_until), 'infinity') AS until
    FROM (VALUES ('metrics'), ('events')) s (source)
    LEFT JOIN rollup_levels l
        ON l.source = s.source AND l.level = ANY ($3::text[]) AND isfinite(l.closed_until)
    GROUP BY s.source
)
SELECT f.source, f.tenant_id, least(f.floor, c.until) AS floor
FROM (
    SELECT 'metrics' AS source, '' AS tenant_id, now() - make_interval(secs => $1::float8) AS floor
    UNION ALL
    SELECT 'events', '', now() - make_interval(secs => $2::float8) - INTERVAL '1 hour'
    UNION ALL
    SELECT 'metrics', tenant_id, now() - make_interval(days => greatest(metrics_retention_days, 2))
    FROM organizations WHERE greatest(metrics_retention_days, 2) * 86400.0 < $1::float8 AND metrics_retention_days IS NOT NULL
    UNION ALL
    SELECT 'events', tenant_id, now() - make_interval(days => events_retention_days) - INTERVAL '1 hour'
    FROM organizations WHERE events_retention_days * 86400.0 < $2::float8
) f
JOIN closed c USING (source)
