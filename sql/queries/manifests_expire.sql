-- Of the next $2 manifests of the kind $3 after the batch $4, deletes those whose rows are all older than $1 seconds, of events those
-- that are logged: others would never get their offsets. Returns how many,
-- and the batch to go on from: null when these were the last, or when none of them is that old itself. Batch ids grow with time, and
-- there is an index on nothing else; nodes draw them in blocks, so that a young one says little about its neighbours.
WITH page AS MATERIALIZED (
    SELECT batch_id, created_at FROM ingest_batches WHERE kind = $3 AND batch_id > $4 ORDER BY batch_id LIMIT $2
), gone AS (
    DELETE FROM ingest_batches m
    WHERE kind = $3 AND batch_id > $4 AND batch_id <= (SELECT max(batch_id) FROM page)
      AND max_timestamp < now() - make_interval(secs => $1::bigint)
      AND ($3 <> 'events' OR EXISTS (SELECT FROM batch_log l WHERE l.tenant_id = m.tenant_id AND l.batch_id = m.batch_id))
    RETURNING 1
)
SELECT (SELECT count(*) FROM gone),
       CASE WHEN count(*) = $2 AND min(created_at) < now() - make_interval(secs => $1::bigint) THEN max(batch_id) END
FROM page
