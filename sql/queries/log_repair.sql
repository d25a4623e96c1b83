    -- What is stored and not logged, in the order in which it was begun.
    SELECT tenant_id, stream, batch_id, seq_span AS span, event_count, min_timestamp, max_timestamp, -1 AS projections,
           row_number() OVER (ORDER BY created_at, batch_id) AS turn
    FROM ingest_batches m
    WHERE kind = 'events' AND seq_span IS NOT NULL
      AND NOT EXISTS (SELECT FROM batch_log l WHERE l.tenant_id = m.tenant_id AND l.batch_id = m.batch_id)
