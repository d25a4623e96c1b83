marked AS (
    UPDATE ingest_batches m SET seq_span = b.span FROM batches b WHERE m.tenant_id = b.tenant_id AND m.batch_id = b.batch_id
)
