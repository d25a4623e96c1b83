-- What the migrations stand on: the table that remembers them. The schema is there (install_lock_make.sql).
CREATE TABLE IF NOT EXISTS tidegate.schema_migrations (
    version      integer     PRIMARY KEY,
    name         text        NOT NULL,
    -- SHA-256 of the file, in hex: an applied migration never changes.
    checksum     text        NOT NULL,
    applied_at   timestamptz NOT NULL DEFAULT now(),
    execution_ms bigint      NOT NULL
);
-- One row: what this database was made as.
CREATE TABLE IF NOT EXISTS tidegate.installation (
    singleton       boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
    engine          text        NOT NULL CHECK (engine IN ('timescale', 'postgres', 'citus')),
    storage_profile text        NOT NULL CHECK (storage_profile IN ('columnstore', 'rowstore')),
    installed_at    timestamptz NOT NULL DEFAULT now()
);
GRANT USAGE ON SCHEMA tidegate TO tidegate_writer, tidegate_reader;
GRANT SELECT ON tidegate.schema_migrations, tidegate.installation TO tidegate_writer, tidegate_reader;
