-- The ledger as it was at migration 12: a row for each request that had a key.

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
