    -- What was committed since the newest tick: transactions that had not begun then, and those that were open. What was
    -- acknowledged comes before what its sender sent next, since that transaction has a higher number.
    SELECT tenant_id, stream, batch_id, span, event_count, min_timestamp, max_timestamp, projections,
           row_number() OVER (ORDER BY xid, batch_id) AS turn
    FROM (
        SELECT * FROM batch_queue
        WHERE xid >= (SELECT pg_snapshot_xmax(snapshot) FROM sequencer_ticks ORDER BY tick DESC LIMIT 1)
        UNION ALL
        SELECT * FROM batch_queue
        WHERE xid = ANY (ARRAY(
            SELECT pg_snapshot_xip(snapshot) FROM (SELECT snapshot FROM sequencer_ticks ORDER BY tick DESC LIMIT 1) newest
        ))
    ) fresh
