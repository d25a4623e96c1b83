-- The columns of events as they were at migration 12, and the ledger: a row for each request that had a key. They never change:
-- what is measured against them is how much less an event costs since then.

CREATE TABLE event_columns (
    id              uuid         NOT NULL,
    timestamp       timestamptz  NOT NULL,
    tenant_id       text         NOT NULL,
    stream          text         NOT NULL,
    source_module   text         NOT NULL,
    event_type      text         NOT NULL,
    event_version   integer      NOT NULL,
    severity        text         NOT NULL,
    environment     text         NOT NULL,
    asset_id        text,
    correlation_id  uuid,
    parent_event_id uuid,
    trace_id        text,
    payload         jsonb        NOT NULL,
    metadata        jsonb,
    batch_id        bigint       NOT NULL,
    batch_seq       integer      NOT NULL,
    created_at      timestamptz  NOT NULL
);

CREATE TABLE ingest_ledger (
    tenant_id       text        NOT NULL,
    idempotency_key text        NOT NULL,
    request_sha256  bytea       NOT NULL CHECK (octet_length(request_sha256) = 32),
    route           text        NOT NULL,
    receipt         uuid        NOT NULL,
    http_status     smallint    NOT NULL,
    accepted        integer     NOT NULL,
    rejected        integer     NOT NULL,
    duplicates      integer     NOT NULL DEFAULT 0,
    errors          jsonb       NOT NULL DEFAULT '[]',
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, idempotency_key)
);

CREATE INDEX ingest_ledger_receipt ON ingest_ledger (tenant_id, receipt);
CREATE INDEX ingest_ledger_created_at ON ingest_ledger (created_at);
