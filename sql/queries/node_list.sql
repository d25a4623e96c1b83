-- All nodes as they stand, oldest first. One that has not been heard of for $1 seconds is lost; so is one that was heard of in
-- the future, for the database's clock was set back, and who lives says so again within a second.
SELECT node_id, process_id, name, url, version, schema_version, started_at, last_seen,
       CASE WHEN abs(extract(epoch FROM clock_timestamp() - last_seen)) > $1::float8 THEN 'lost' ELSE state END AS state,
       extract(epoch FROM clock_timestamp() - last_seen)::float8 AS silent_s,
       spooled_requests, spooled_items, spooled_bytes, quarantined_files, clock_skew_ms, demands
FROM tidegate.nodes
ORDER BY started_at, node_id
