-- Assets ($3) of the tenant $1 with error events in or near these hours ($2, since 1970), and the hours for the anomaly job, by a
-- name of their own (see temporal_note.sql).
WITH noted AS (
    INSERT INTO asset_errors (tenant_id, hour, asset_id)
    SELECT $1, * FROM unnest($2::integer[], $3::text[]) AS u (hour, asset_id) ORDER BY 2, 3
    ON CONFLICT DO NOTHING
)
INSERT INTO touched_minutes (job, tenant_id, minute)
SELECT DISTINCT 'error_hours', $1::text, hour * 60 FROM unnest($2::integer[]) AS u (hour) ORDER BY 3
ON CONFLICT DO NOTHING
