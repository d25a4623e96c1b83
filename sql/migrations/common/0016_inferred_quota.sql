-- Organizations with more assets than limits.assets_per_tenant: those beyond it are not made, while their events and metrics are
-- stored as all are. A row goes when nothing was refused for a day.
CREATE TABLE over_quota (
    what      text        NOT NULL CHECK (what IN ('assets')),
    tenant_id text        NOT NULL,
    -- How often something was not made since then; the same thing counts each time that it is seen.
    refused   bigint      NOT NULL,
    since     timestamptz NOT NULL DEFAULT now(),
    at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (what, tenant_id)
) WITH (fillfactor = 50);

-- Readers of the lifecycle's status are told how many there are.
GRANT SELECT ON over_quota TO tidegate_reader;
