-- Organizations (tenants) and their API keys. Control tables are small, ordinary and soft-deleted.
-- tenant_id is the organization's immutable slug; it is the tenant_id of every data relation.

CREATE TABLE organizations (
    id             uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id      text        NOT NULL UNIQUE CHECK (tenant_id ~ '^[a-z0-9][a-z0-9._-]{0,99}$'),
    name           text        NOT NULL CHECK (char_length(name) BETWEEN 1 AND 255),
    created_at     timestamptz NOT NULL DEFAULT now(),
    is_active      boolean     NOT NULL DEFAULT true,
    deactivated_at timestamptz
);

-- Two organizations of one name could not be told apart on a command line.
CREATE UNIQUE INDEX organizations_name_key ON organizations (lower(name));

CREATE TABLE api_keys (
    id         uuid        PRIMARY KEY,
    org_id     uuid        NOT NULL REFERENCES organizations (id),
    -- SHA-256 of the 256-bit secret: a random secret needs no slow hash, and none is kept in clear.
    key_hash   bytea       NOT NULL CHECK (octet_length(key_hash) = 32),
    label      text        NOT NULL DEFAULT '',
    scopes     text[]      NOT NULL CHECK (cardinality(scopes) > 0
                                           AND scopes <@ ARRAY['ingest', 'read', 'consume', 'admin', 'operator']),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    -- The key that this one replaces (keys rotate).
    rotated_from uuid      REFERENCES api_keys (id)
);

CREATE INDEX api_keys_org_id ON api_keys (org_id);

-- The ingest path verifies keys; readers see everything but the hash.
GRANT SELECT ON organizations, api_keys TO tidegate_writer;
GRANT SELECT ON organizations TO tidegate_reader;
GRANT SELECT (id, org_id, label, scopes, created_at, expires_at, revoked_at, rotated_from) ON api_keys TO tidegate_reader;
