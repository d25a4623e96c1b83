-- Identity of CloudEvents: an event's id is made of its source and its id, and the id by itself (src/wire/event/ids.rs) is what
-- others know it by that do not know its source: children, and readers who ask by the id that was sent. NULL for all other
-- events, so that it costs them nothing.
ALTER TABLE events ADD COLUMN bare_id uuid;
CREATE INDEX events_tenant_bare_id ON events (tenant_id, bare_id) WHERE bare_id IS NOT NULL;

-- A child goes to the parent of its own source. One that was found elsewhere is matched, and still waits for that.
ALTER TABLE orphans ADD COLUMN source_module text, ADD COLUMN matched boolean NOT NULL DEFAULT false;
CREATE INDEX orphans_matched ON orphans (tenant_id) WHERE matched;
