-- A node says that it lives. No row comes back where its id is another process's, which began later: it has been copied.
INSERT INTO tidegate.nodes AS n
    (node_id, process_id, name, url, version, schema_version, started_at, last_seen, state,
     spooled_requests, spooled_items, spooled_bytes, quarantined_files, clock_skew_ms, demands)
VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp() - make_interval(secs => $7::float8), clock_timestamp(), $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT (node_id) DO UPDATE SET
    process_id = excluded.process_id, name = excluded.name, url = excluded.url, version = excluded.version,
    schema_version = excluded.schema_version,
    -- Of one start it stays what it was, however the clock goes on.
    started_at = CASE WHEN n.process_id = excluded.process_id THEN n.started_at ELSE excluded.started_at END,
    last_seen = excluded.last_seen, state = excluded.state,
    spooled_requests = excluded.spooled_requests, spooled_items = excluded.spooled_items,
    spooled_bytes = excluded.spooled_bytes, quarantined_files = excluded.quarantined_files,
    clock_skew_ms = excluded.clock_skew_ms, demands = excluded.demands
-- The first time whatever process has it: that of an earlier start is gone.
WHERE n.process_id = excluded.process_id OR $15
RETURNING n.node_id
