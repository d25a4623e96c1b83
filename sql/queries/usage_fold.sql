-- Adds up at most $1 of what writers have noted; how many those were.
WITH taken AS (
    DELETE FROM usage_notes WHERE ctid = ANY (ARRAY(SELECT n.ctid FROM usage_notes n LIMIT $1))
    RETURNING tenant_id, day, requests, events, samples, rejected, bytes
), added AS (
    INSERT INTO usage_days AS d (tenant_id, day, requests, events, samples, rejected, bytes)
    SELECT tenant_id, day, sum(requests), sum(events), sum(samples), sum(rejected), sum(bytes) FROM taken GROUP BY tenant_id, day
    ON CONFLICT (tenant_id, day) DO UPDATE
    SET requests = d.requests + excluded.requests, events = d.events + excluded.events, samples = d.samples + excluded.samples,
        rejected = d.rejected + excluded.rejected, bytes = d.bytes + excluded.bytes
)
SELECT count(*) FROM taken
