-- A minute whose types changed ($2) bears on its own pairs and on those of the 63 minutes after it that have any type. The notes
-- go by a name that nobody else writes, so that no two transactions wait for each other's.
INSERT INTO touched_minutes (job, tenant_id, minute)
SELECT DISTINCT 'temporal', $1::text, t.minute
FROM unnest($2::integer[]) AS changed (minute)
JOIN type_minutes t ON t.tenant_id = $1 AND t.minute >= changed.minute AND t.minute < changed.minute + 64
-- A minute that lost its last type may have pairs to be taken away.
UNION SELECT 'temporal', $1, changed.minute FROM unnest($2::integer[]) AS changed (minute)
ORDER BY 3
ON CONFLICT DO NOTHING
