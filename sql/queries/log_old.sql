    -- The next $1 batches of versions before, in the order in which they were begun. $2: ordinals that a batch may have handed out
    -- beyond those of its rows, where rows that were there already were left out without a word.
    SELECT tenant_id, stream, batch_id, event_count + $2::integer AS span, event_count, min_timestamp, max_timestamp, -1 AS projections,
           row_number() OVER (ORDER BY created_at, batch_id) AS turn
    FROM (
        SELECT * FROM ingest_batches WHERE kind = 'events' AND seq_span IS NULL ORDER BY created_at, batch_id LIMIT $1
    ) old
