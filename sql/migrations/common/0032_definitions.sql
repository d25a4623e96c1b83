-- Streams that are defined (src/registry): what their payloads must be, and what of them is never kept.

-- One row for each stream that somebody has defined. A stream that is deleted takes nothing more until it is defined again.
CREATE TABLE event_streams (
    tenant_id      text        NOT NULL,
    name           text        NOT NULL CHECK (char_length(name) BETWEEN 1 AND 255),
    id             uuid        NOT NULL DEFAULT gen_random_uuid(),
    description    text        CHECK (char_length(description) <= 1000),
    -- off: nothing is judged. warn: what breaks the schema is stored and counted. enforce: it is refused.
    mode           text        NOT NULL DEFAULT 'off' CHECK (mode IN ('off', 'warn', 'enforce')),
    -- What a new version of the schema has to be to the one before.
    compatibility  text        NOT NULL DEFAULT 'none' CHECK (compatibility IN ('none', 'backward', 'forward', 'full')),
    -- The version that judges; null: none.
    schema_version integer     CHECK (schema_version > 0),
    -- Of how many versions numbers were given: never one twice, for events name them.
    versions       integer     NOT NULL DEFAULT 0,
    -- [{"path": "/user/email", "action": "hash"}, ...]
    mask           jsonb       NOT NULL DEFAULT '[]',
    -- That of its last change; every process asks for those behind the last one that it knows.
    revision       bigint      NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    deleted_at     timestamptz,
    PRIMARY KEY (tenant_id, name)
);
CREATE INDEX event_streams_revision ON event_streams (revision);

-- The versions of a stream's schema. They never change: there is no right to.
CREATE TABLE event_stream_schemas (
    tenant_id  text        NOT NULL,
    stream     text        NOT NULL,
    version    integer     NOT NULL CHECK (version > 0),
    -- As it was sent, number for number.
    schema     json        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- The key that it came with.
    api_key_id uuid,
    PRIMARY KEY (tenant_id, stream, version)
);

-- How many events broke a schema that warns, and how the last one did.
CREATE TABLE event_stream_warnings (
    tenant_id text        NOT NULL,
    stream    text        NOT NULL,
    version   integer     NOT NULL,
    events    bigint      NOT NULL,
    last_at   timestamptz NOT NULL,
    field     text        NOT NULL,
    rule      text        NOT NULL,
    PRIMARY KEY (tenant_id, stream, version)
);

-- Who changes a definition holds this row until COMMIT, so that revisions are committed in their order. mask_key_check tells keys of
-- masks apart without telling them.
CREATE TABLE event_stream_revision (
    only_row       boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    revision       bigint  NOT NULL DEFAULT 0,
    mask_key_check text
);
INSERT INTO event_stream_revision DEFAULT VALUES;

-- What a payload that was refused by its schema broke, and which version said so.
ALTER TABLE dead_letter_events
    ADD COLUMN field_pointer  text,
    ADD COLUMN rule_pointer   text,
    ADD COLUMN schema_version integer;

-- A node of a version before this one knows no masks. One that does says so on each session; what others write of masked streams is
-- refused as something that they cannot do, so that they keep it in their spools until they are upgraded.
CREATE FUNCTION refuse_unmasked() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tidegate, pg_temp
AS $refuse$
BEGIN
    IF EXISTS (SELECT FROM event_streams s WHERE s.tenant_id = NEW.tenant_id AND s.mask <> '[]') THEN
        RAISE EXCEPTION 'streams of % are masked, and this node is of a version that masks nothing: upgrade it', NEW.tenant_id
            USING ERRCODE = '0A000';
    END IF;
    RETURN NEW;
END
$refuse$;
REVOKE EXECUTE ON FUNCTION refuse_unmasked() FROM PUBLIC;
CREATE TRIGGER refuse_unmasked BEFORE INSERT ON ingest_batches FOR EACH ROW
    WHEN (current_setting('tidegate.masks', true) IS NULL) EXECUTE FUNCTION refuse_unmasked();
CREATE TRIGGER refuse_unmasked BEFORE INSERT ON dead_letter_events FOR EACH ROW
    WHEN (current_setting('tidegate.masks', true) IS NULL) EXECUTE FUNCTION refuse_unmasked();

GRANT SELECT, INSERT, UPDATE ON event_streams, event_stream_warnings TO tidegate_writer;
GRANT SELECT, INSERT ON event_stream_schemas TO tidegate_writer;
GRANT SELECT, UPDATE ON event_stream_revision TO tidegate_writer;
GRANT SELECT ON event_streams, event_stream_schemas, event_stream_warnings TO tidegate_reader;
