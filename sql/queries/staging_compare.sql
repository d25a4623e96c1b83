-- Staged rows ($1, $2: batch and ordinal) that were not stored since one of the same tenant, id and timestamp was there: whether
-- that one is gone meanwhile, and the columns in which it differs, without what the server says of a request (in metadata
-- of rows from before it had columns). All of them lie from $3 to $4. JSON is
-- compared by what it means, however it is kept.
SELECT s.batch_id, s.batch_seq, e.batch_id IS NULL,
    concat_ws(', ',
        CASE WHEN e.stream <> s.stream THEN 'stream' END,
        CASE WHEN e.source_module <> s.source_module THEN 'source_module' END,
        CASE WHEN e.event_type <> s.event_type THEN 'event_type' END,
        CASE WHEN e.event_version <> s.event_version THEN 'event_version' END,
        CASE WHEN e.severity <> s.severity THEN 'severity' END,
        CASE WHEN e.environment <> s.environment THEN 'environment' END,
        CASE WHEN e.asset_id IS DISTINCT FROM s.asset_id THEN 'asset_id' END,
        CASE WHEN e.correlation_id IS DISTINCT FROM s.correlation_id THEN 'correlation_id' END,
        CASE WHEN e.parent_event_id IS DISTINCT FROM s.parent_event_id THEN 'parent_event_id' END,
        CASE WHEN e.trace_id IS DISTINCT FROM s.trace_id THEN 'trace_id' END,
        CASE WHEN e.payload::jsonb <> s.payload::jsonb THEN 'payload' END,
        CASE WHEN coalesce(e.metadata::jsonb - ARRAY['api_key_id', 'receipt', 'received_at'], '{}')
                <> coalesce(s.metadata::jsonb - ARRAY['api_key_id', 'receipt', 'received_at'], '{}') THEN 'metadata' END)
FROM unnest($1::bigint[], $2::integer[]) AS missed (batch_id, batch_seq)
JOIN events_staging s USING (batch_id, batch_seq)
LEFT JOIN LATERAL (
    SELECT * FROM events e
    WHERE e.tenant_id = s.tenant_id AND e.id = s.id AND e.timestamp = s.timestamp AND e.timestamp >= $3 AND e.timestamp <= $4
    LIMIT 1
) e ON true
