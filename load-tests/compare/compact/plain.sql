-- A sample of the events, oldest first as they came in, in a table as the postgres engine has its partitions: the indexes grow with
-- the rows.

DROP TABLE IF EXISTS plain_events;
CREATE TABLE plain_events (LIKE events);
CREATE INDEX ON plain_events (tenant_id, timestamp DESC, batch_id DESC, batch_seq DESC);
CREATE INDEX ON plain_events (asset_id, tenant_id, timestamp DESC) WHERE asset_id IS NOT NULL;
CREATE INDEX ON plain_events (tenant_id, correlation_id) WHERE correlation_id IS NOT NULL;
CREATE INDEX ON plain_events (tenant_id, parent_event_id) WHERE parent_event_id IS NOT NULL;
CREATE INDEX ON plain_events (tenant_id, id);
CREATE INDEX ON plain_events USING brin (timestamp) WITH (pages_per_range = 32);

INSERT INTO plain_events
SELECT * FROM (SELECT * FROM events ORDER BY timestamp DESC LIMIT 500000) newest ORDER BY timestamp;
