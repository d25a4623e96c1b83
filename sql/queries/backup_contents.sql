-- What a backup and what was restored of it are compared by: a number for each thing of an organization. Rows of events, metrics and
-- the ledger by UTC day, ends of logs by stream, what groups have committed by stream and name. Each of them only grows in normal
-- operation, or only shrinks (a day that expires), so that a moment in between lies between two counts.
SELECT 'events' AS what, tenant_id, (("timestamp" AT TIME ZONE 'UTC')::date)::text AS item, count(*) AS number
FROM events GROUP BY 2, 3
UNION ALL
SELECT 'metrics', tenant_id, (("timestamp" AT TIME ZONE 'UTC')::date)::text, count(*)
FROM metrics GROUP BY 2, 3
UNION ALL
SELECT 'ledger', tenant_id, ((created_at AT TIME ZONE 'UTC')::date)::text, count(*)
FROM ingest_ledger GROUP BY 2, 3
UNION ALL
SELECT 'log', tenant_id, stream, max(base + span)::bigint
FROM batch_log GROUP BY 2, 3
UNION ALL
SELECT 'group', g.tenant_id, g.stream || '/' || g.name, o.committed
FROM consumer_groups g JOIN consumer_offsets o USING (group_id)
WHERE g.deleted_at IS NULL AND g.ordered_by IS NULL
UNION ALL
-- An ordered group has an offset for each slot.
SELECT 'group', g.tenant_id, g.stream || '/' || g.name, sum(s.committed)::bigint
FROM consumer_groups g JOIN consumer_slots s USING (group_id)
WHERE g.deleted_at IS NULL AND g.ordered_by IS NOT NULL
GROUP BY 2, 3
