-- Deletes at most $1 batches from the logs, from the beginnings of streams that have moved on. Not the newest one of a stream, by
-- which the next one's base is told; and none whose manifest is there, which a repair would take for one that was never logged.
DELETE FROM batch_log WHERE ctid = ANY (ARRAY(
    SELECT l.ctid
    FROM stream_begins b
    CROSS JOIN LATERAL (
        SELECT ctid, tenant_id, batch_id FROM batch_log
        WHERE tenant_id = b.tenant_id AND stream = b.stream AND base < b.begins
          AND base < (SELECT max(base) FROM batch_log WHERE tenant_id = b.tenant_id AND stream = b.stream)
        ORDER BY base LIMIT 1000
    ) l
    WHERE NOT EXISTS (SELECT FROM ingest_batches m WHERE m.tenant_id = l.tenant_id AND m.batch_id = l.batch_id)
    LIMIT $1
))
