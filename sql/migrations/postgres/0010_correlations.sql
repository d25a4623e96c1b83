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

GRANT SELECT ON correlations TO tidegate_reader;
