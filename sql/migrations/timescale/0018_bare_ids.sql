-- Identity of CloudEvents: an event's id is made of its source and its id, and the id by itself (src/wire/event/ids.rs) is what
-- others know it by that do not know its source: children, and readers who ask by the id that was sent. NULL for all other
-- events, so that it costs them nothing.
ALTER TABLE events ADD COLUMN bare_id uuid;

-- As before, and a bloom for the new column.
ALTER TABLE events SET (
    timescaledb.sparse_index = 'bloom(correlation_id), bloom(id), bloom(parent_event_id), bloom(bare_id)'
);

-- A database that was made with the rowstore profile; a new one gets it with the profile (sql/profile/rowstore.sql).
DO $rowstore$
BEGIN
    IF to_regclass('tidegate.events_unique') IS NOT NULL THEN
        CREATE INDEX events_bare_id ON events (tenant_id, bare_id) WHERE bare_id IS NOT NULL;
    END IF;
END
$rowstore$;

-- A child goes to the parent of its own source. One that was found elsewhere is matched, and still waits for that.
ALTER TABLE orphans ADD COLUMN source_module text, ADD COLUMN matched boolean NOT NULL DEFAULT false;
CREATE INDEX orphans_matched ON orphans (tenant_id) WHERE matched;
