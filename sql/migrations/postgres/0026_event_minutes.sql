-- Counts of events by the minute, for the hours that are not closed yet. As event_counts_hourly (0009).
CREATE FUNCTION event_counts_rollup(width interval, from_at timestamptz, to_at timestamptz)
RETURNS TABLE (bucket timestamptz, tenant_id text, source_module text, event_type text, severity text, count bigint)
LANGUAGE sql STABLE PARALLEL SAFE
AS $rollup$
SELECT date_bin(width, e.timestamp, TIMESTAMPTZ '1970-01-01 00:00:00+00'),
    e.tenant_id, e.source_module, e.event_type, e.severity, count(*)
FROM tidegate.events e
WHERE e.timestamp >= from_at AND e.timestamp < to_at
GROUP BY 1, 2, 3, 4, 5
$rollup$;

CREATE TABLE event_counts_1m_closed (
    bucket        timestamptz NOT NULL,
    tenant_id     text        NOT NULL,
    source_module text        NOT NULL,
    event_type    text        NOT NULL,
    severity      text        NOT NULL,
    count         bigint      NOT NULL
) PARTITION BY RANGE (bucket);
CREATE INDEX event_counts_1m_tenant ON event_counts_1m_closed (tenant_id, bucket DESC);

CREATE VIEW event_counts_1m AS
SELECT c.* FROM rollup_levels l JOIN event_counts_1m_closed c ON c.bucket < l.closed_until
WHERE l.level = 'event_counts_1m'
UNION ALL
SELECT r.* FROM rollup_levels l CROSS JOIN LATERAL event_counts_rollup(INTERVAL '1 minute', l.closed_until, 'infinity') r
WHERE l.level = 'event_counts_1m';

-- Minutes are kept for two days: of what is there already these are still to be closed, and computed until then.
INSERT INTO rollup_levels (level, width, source, closed_until, noted_before)
SELECT 'event_counts_1m', INTERVAL '1 minute', 'events', minute, minute
FROM date_bin(INTERVAL '1 minute', now() - INTERVAL '2 days', TIMESTAMPTZ '1970-01-01 00:00:00+00') AS minute;

GRANT SELECT ON event_counts_1m_closed, event_counts_1m TO tidegate_reader;
