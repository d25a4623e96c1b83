-- Error events (severity among $5) of the assets $2 of the tenant $1 from $3 up to $4, the first $6 of each asset.
SELECT asset_id, timestamp, id
FROM (
    SELECT DISTINCT asset_id, timestamp, id, dense_rank() OVER (PARTITION BY asset_id ORDER BY timestamp, id) AS place
    FROM events
    WHERE tenant_id = $1 AND asset_id = ANY ($2) AND timestamp >= $3 AND timestamp < $4 AND lower(severity COLLATE "C") = ANY ($5)
) e
WHERE place <= $6
ORDER BY asset_id, timestamp, id
