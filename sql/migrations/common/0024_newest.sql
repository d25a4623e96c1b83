-- The newest batches of a tenant before a time: how fast its events follow each other there, and so how wide a list's first
-- window is (src/query/pace.rs).
CREATE INDEX ingest_batches_newest ON ingest_batches (tenant_id, kind, max_timestamp DESC);

-- The whole order of lists: with the time alone, rows of one time were sorted for every page.
DROP INDEX events_tenant_time;
CREATE INDEX events_tenant_order ON events (tenant_id, timestamp DESC, batch_id DESC, batch_seq DESC);
