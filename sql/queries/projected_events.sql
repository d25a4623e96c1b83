-- Events of the types $7 in the batches $6 of the tenant $1, in the order of these, at most $11. Bounds of time and of ids tell the
-- columnstore which segments may hold them; of the batch $8 those from the ordinal $9 on. Payloads of more than $10 bytes are left out.
SELECT batch_id, batch_seq, id, timestamp, event_type, source_module, severity, environment, asset_id, correlation_id, trace_id,
       api_key_id, receipt, created_at, CASE WHEN octet_length(payload::text) <= $10 THEN payload::text END
FROM events
WHERE tenant_id = $1 AND timestamp >= $2 AND timestamp <= $3 AND batch_id >= $4 AND batch_id <= $5
  AND batch_id = ANY ($6) AND event_type = ANY ($7) AND (batch_id <> $8 OR batch_seq >= $9)
ORDER BY array_position($6, batch_id), batch_seq LIMIT $11
