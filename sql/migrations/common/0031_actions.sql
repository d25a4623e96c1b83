-- DD-SCHEMA-001: resources, workflows that worked on them, and each action (src/projections/actions.rs). Ids are made of what events call
-- a row, so that tables that are computed again have the same.

-- A resource that actions work on.
CREATE TABLE resource_references (
    tenant_id    text        NOT NULL,
    id           bigint      NOT NULL,
    namespace    text        NOT NULL,
    kind         text        NOT NULL,
    name         text        NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    event_id     uuid        NOT NULL,
    event_stream text        NOT NULL,
    event_offset bigint      NOT NULL,
    told_by      jsonb       NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX resource_references_name ON resource_references (tenant_id, namespace, kind, name);

-- What is done to a resource: a workflow's actions of one type.
CREATE TABLE action_histories (
    tenant_id    text        NOT NULL,
    id           bigint      NOT NULL,
    resource_id  bigint      NOT NULL,
    workflow_id  text,
    action_type  text        NOT NULL,
    -- Of the newest one.
    status       text        NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    event_id     uuid        NOT NULL,
    event_stream text        NOT NULL,
    event_offset bigint      NOT NULL,
    told_by      jsonb       NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX action_histories_resource ON action_histories (tenant_id, resource_id);

-- An action. Alert and cluster are null until an event names them: how an action ended may be heard of before how it began.
CREATE TABLE resource_action_traces (
    tenant_id             text        NOT NULL,
    id                    bigint      NOT NULL,
    action_id             text        NOT NULL,
    action_history_id     bigint      NOT NULL,
    alert_name            text,
    alert_fingerprint     text,
    alert_severity        text,
    cluster_name          text,
    environment           text,
    action_type           text        NOT NULL,
    action_timestamp      timestamptz NOT NULL,
    action_parameters     jsonb,
    execution_status      text        NOT NULL,
    execution_start_time  timestamptz,
    execution_end_time    timestamptz,
    execution_duration_ms bigint,
    execution_error       text,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL,
    event_id              uuid        NOT NULL,
    event_stream          text        NOT NULL,
    event_offset          bigint      NOT NULL,
    told_by               jsonb       NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX resource_action_traces_action ON resource_action_traces (tenant_id, action_id);
CREATE INDEX resource_action_traces_at ON resource_action_traces (tenant_id, action_timestamp DESC, id DESC);
CREATE INDEX resource_action_traces_history ON resource_action_traces (tenant_id, action_history_id);

-- pgvector's type where the extension is there or can be made, else an array of numbers. Kept in the row itself: a search goes through
-- all of a tenant's, and would fetch each from elsewhere.
DO $embedding$
BEGIN
    BEGIN
        CREATE EXTENSION IF NOT EXISTS vector SCHEMA public;
    EXCEPTION WHEN OTHERS THEN
        -- Not installed on the server, or not for this role to make.
        RAISE NOTICE 'embeddings are arrays: %', SQLERRM;
    END;
    IF to_regtype('vector') IS NOT NULL THEN
        ALTER TABLE resource_action_traces ADD COLUMN embedding vector(768);
        ALTER TABLE resource_action_traces ALTER COLUMN embedding SET STORAGE MAIN;
    ELSE
        ALTER TABLE resource_action_traces ADD COLUMN embedding real[]
            CHECK (array_ndims(embedding) = 1 AND cardinality(embedding) = 768 AND array_position(embedding, NULL) IS NULL);
        ALTER TABLE resource_action_traces ALTER COLUMN embedding SET STORAGE MAIN;
    END IF;
END
$embedding$;

-- Each action with the resource that it worked on, and the workflow that it was a part of.
CREATE VIEW actions AS
SELECT t.tenant_id, t.id, t.action_id, t.action_type, t.action_timestamp, h.workflow_id, r.namespace, r.kind, r.name, t.alert_name,
       t.alert_fingerprint, t.alert_severity, t.cluster_name, t.environment, t.action_parameters, t.execution_status,
       t.execution_start_time, t.execution_end_time, t.execution_duration_ms, t.execution_error, t.embedding,
       t.embedding IS NOT NULL AS has_embedding, t.created_at, t.updated_at, t.event_id, t.event_stream, t.event_offset
FROM resource_action_traces t
LEFT JOIN action_histories h ON h.tenant_id = t.tenant_id AND h.id = t.action_history_id
LEFT JOIN resource_references r ON r.tenant_id = h.tenant_id AND r.id = h.resource_id;

INSERT INTO projections (name, bit) VALUES ('actions', 3);

GRANT SELECT ON resource_references, action_histories, resource_action_traces, actions TO tidegate_reader;
