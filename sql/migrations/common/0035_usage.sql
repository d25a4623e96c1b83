-- What each organization sends, by day of UTC: counted in the transaction that stores it, so that a request that is sent again counts
-- once. Writers only add rows, since one row for a tenant and day would have its transactions wait for each other; a job adds them up.

CREATE TABLE usage_notes (
    tenant_id text   NOT NULL,
    -- When its requests were received; of a dead letter that is sent again, when that was.
    day       date   NOT NULL,
    requests  bigint NOT NULL,
    -- Rows stored.
    events    bigint NOT NULL,
    samples   bigint NOT NULL,
    -- Items that were not stored.
    rejected  bigint NOT NULL,
    -- Of bodies, decompressed.
    bytes     bigint NOT NULL
);

CREATE TABLE usage_days (
    tenant_id text   NOT NULL,
    day       date   NOT NULL,
    requests  bigint NOT NULL,
    events    bigint NOT NULL,
    samples   bigint NOT NULL,
    rejected  bigint NOT NULL,
    bytes     bigint NOT NULL,
    PRIMARY KEY (tenant_id, day)
);
CREATE INDEX usage_days_day ON usage_days (day, tenant_id);

-- Both of them, which at every moment is all that was stored.
CREATE VIEW tenant_usage AS
SELECT tenant_id, day, sum(requests)::bigint AS requests, sum(events)::bigint AS events, sum(samples)::bigint AS samples,
       sum(rejected)::bigint AS rejected, sum(bytes)::bigint AS bytes
FROM (SELECT * FROM usage_days UNION ALL SELECT * FROM usage_notes) noted
GROUP BY day, tenant_id;

CREATE TABLE lock_job_usage ();

GRANT INSERT ON usage_notes TO tidegate_writer;

DO $policies$
DECLARE
    control text;
BEGIN
    FOREACH control IN ARRAY ARRAY['usage_notes', 'usage_days'] LOOP
        EXECUTE format('ALTER TABLE tidegate.%I ENABLE ROW LEVEL SECURITY', control);
        EXECUTE format('ALTER TABLE tidegate.%I FORCE ROW LEVEL SECURITY', control);
        EXECUTE format('CREATE POLICY of_the_tenant ON tidegate.%I USING (tidegate.acts_for(tenant_id))', control);
    END LOOP;
END
$policies$;
