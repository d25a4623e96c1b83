-- Pairs of events that belong together, found by the correlation job (src/rollup/correlate). The id is made of tenant, type
-- and the two events, so that finding a pair twice stores it once. Both events' timestamps are kept: a join that names them
-- excludes chunks.

CREATE TABLE correlations (
    id                uuid             NOT NULL,
    -- The later of the two events' timestamps.
    timestamp         timestamptz      NOT NULL,
    tenant_id         text             NOT NULL,
    correlation_type  text             NOT NULL CHECK (correlation_type IN ('causal', 'temporal', 'anomaly')),
    primary_event_id  uuid             NOT NULL,
    related_event_id  uuid             NOT NULL,
    primary_timestamp timestamptz      NOT NULL,
    related_timestamp timestamptz      NOT NULL,
    strength          double precision NOT NULL CHECK (strength BETWEEN 0 AND 1),
    confidence        double precision NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    metadata          jsonb,
    created_at        timestamptz      NOT NULL DEFAULT now()
) PARTITION BY RANGE (timestamp);

CREATE UNIQUE INDEX correlations_id ON correlations (tenant_id, id, timestamp);
CREATE INDEX correlations_tenant_time ON correlations (tenant_id, timestamp DESC, id DESC);
CREATE INDEX correlations_primary ON correlations (tenant_id, primary_event_id, timestamp DESC);
CREATE INDEX correlations_related ON correlations (tenant_id, related_event_id, timestamp DESC);
CREATE INDEX correlations_strength ON correlations (timestamp DESC, strength DESC);

-- Pairs with what their events are, for dashboards; to be asked by tenant and time, and with a limit. Each event is looked up by
-- its id and its time, so that only its own chunk is read, and only for the pairs that are shown: as a plain join the planner
-- reads all events of the time.
CREATE VIEW correlated_events AS
SELECT
    c.id, c.timestamp, c.tenant_id, c.correlation_type, c.strength, c.confidence,
    c.primary_event_id, c.primary_timestamp,
    p.source_module AS primary_source_module, p.event_type AS primary_event_type,
    p.severity AS primary_severity, p.asset_id AS primary_asset_id,
    c.related_event_id, c.related_timestamp,
    r.source_module AS related_source_module, r.event_type AS related_event_type,
    r.severity AS related_severity, r.asset_id AS related_asset_id,
    c.metadata
FROM correlations c
CROSS JOIN LATERAL (
    SELECT source_module, event_type, severity, asset_id FROM events e
    WHERE e.tenant_id = c.tenant_id AND e.id = c.primary_event_id AND e.timestamp = c.primary_timestamp LIMIT 1
) p
CROSS JOIN LATERAL (
    SELECT source_module, event_type, severity, asset_id FROM events e
    WHERE e.tenant_id = c.tenant_id AND e.id = c.related_event_id AND e.timestamp = c.related_timestamp LIMIT 1
) r;

GRANT SELECT ON correlations, correlated_events TO tidegate_reader;
