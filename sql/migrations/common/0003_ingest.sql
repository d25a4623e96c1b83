-- What makes ingestion exactly-once and lossless: the ledger of idempotency keys, the manifests of batches, and the
-- dead letters. All are written in the transaction of the events that they speak of.

-- One row per keyed request: the first answer, to be replayed. Kept retention.ledger.
CREATE TABLE ingest_ledger (
    tenant_id       text        NOT NULL,
    idempotency_key text        NOT NULL,
    -- SHA-256 over the route and the decompressed body: another body under the same key is refused.
    request_sha256  bytea       NOT NULL CHECK (octet_length(request_sha256) = 32),
    route           text        NOT NULL,
    receipt         uuid        NOT NULL,
    http_status     smallint    NOT NULL,
    accepted        integer     NOT NULL,
    rejected        integer     NOT NULL,
    -- Events that were there already (rowstore profile).
    duplicates      integer     NOT NULL DEFAULT 0,
    errors          jsonb       NOT NULL DEFAULT '[]',
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, idempotency_key)
);

CREATE INDEX ingest_ledger_receipt ON ingest_ledger (tenant_id, receipt);
CREATE INDEX ingest_ledger_created_at ON ingest_ledger (created_at);

-- One row per (transaction, tenant, stream): what the sequencer orders, and how an unknown COMMIT is looked up.
CREATE TABLE ingest_batches (
    tenant_id     text          NOT NULL,
    batch_id      bigint        NOT NULL,
    stream        text          NOT NULL,
    event_count   integer       NOT NULL CHECK (event_count > 0),
    min_timestamp timestamptz   NOT NULL,
    max_timestamp timestamptz   NOT NULL,
    -- The hours that its events fall into: a range would make months dirty for one late event.
    touched_hours timestamptz[] NOT NULL,
    created_at    timestamptz   NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, batch_id)
);

CREATE INDEX ingest_batches_batch_id ON ingest_batches (batch_id);

-- Drawn in blocks by each node; gaps are harmless, because order comes from the sequencer's log.
CREATE SEQUENCE ingest_batch_id AS bigint INCREMENT BY 1024 CACHE 1;

-- What could not be decoded, validated, packaged or written, as it was sent.
CREATE TABLE dead_letter_events (
    tenant_id    text        NOT NULL,
    id           uuid        NOT NULL,
    failed_at    timestamptz NOT NULL DEFAULT now(),
    stage        text        NOT NULL CHECK (stage IN ('decode', 'validate', 'package', 'write')),
    code         text        NOT NULL,
    reason       text        NOT NULL,
    raw          bytea       NOT NULL,
    route        text        NOT NULL,
    content_type text        NOT NULL,
    -- The request's query parameters (defaults for fields, wrap), so that a replay means the same.
    parameters   jsonb       NOT NULL DEFAULT '{}',
    item_index   integer     NOT NULL,
    event_id     uuid,
    receipt      uuid        NOT NULL,
    api_key_id   uuid        NOT NULL,
    PRIMARY KEY (tenant_id, id)
);

CREATE INDEX dead_letter_events_failed_at ON dead_letter_events (tenant_id, failed_at DESC, id DESC);
CREATE INDEX dead_letter_events_age ON dead_letter_events (failed_at);
CREATE INDEX dead_letter_events_receipt ON dead_letter_events (tenant_id, receipt);

GRANT SELECT, INSERT ON ingest_ledger, ingest_batches, dead_letter_events TO tidegate_writer;
GRANT USAGE ON SEQUENCE ingest_batch_id TO tidegate_writer;
GRANT SELECT ON ingest_ledger, ingest_batches, dead_letter_events TO tidegate_reader;
