-- What the events of the tenant $1 from $2 up to $3 are, a minute, type and failed asset (severity among $4) a row, in one scan:
-- types for lift, assets for anomalies, and whether there is anything to relate at all.
SELECT date_bin(INTERVAL '1 minute', timestamp, TIMESTAMPTZ '1970-01-01 00:00:00+00') AS minute_at, source_module, event_type,
    CASE WHEN lower(severity COLLATE "C") = ANY ($4) THEN asset_id END AS failed_asset,
    count(*), min(timestamp), count(correlation_id) + count(parent_event_id)
FROM events
WHERE tenant_id = $1 AND timestamp >= $2 AND timestamp < $3
GROUP BY 1, 2, 3, 4
