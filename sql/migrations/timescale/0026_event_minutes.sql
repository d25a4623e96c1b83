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

CREATE MATERIALIZED VIEW event_counts_1m
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '1 day') AS
SELECT
    public.time_bucket('1 minute', timestamp) AS bucket,
    tenant_id, source_module, event_type, severity,
    count(*) AS count
FROM events
GROUP BY 1, 2, 3, 4, 5
WITH NO DATA;

CREATE INDEX event_counts_1m_tenant ON event_counts_1m (tenant_id, bucket DESC);

INSERT INTO rollup_levels (level, width, source) VALUES ('event_counts_1m', INTERVAL '1 minute', 'events');

GRANT SELECT ON event_counts_1m TO tidegate_reader;
