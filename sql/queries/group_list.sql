-- How groups stand: those of the tenant $1 (null: of all tenants), of the stream $2 (null: of all), called $3 (null: all), behind the
-- stream and name $4 and $5, $6 at most.
SELECT g.tenant_id, g.stream, g.name, g.max_deliveries, g.ack_timeout_ms, g.event_types, g.ordered_by, g.paused_at, g.paused_reason,
       g.created_at, o.generation, p.committed, least(coalesce(b.begins, 0), coalesce(l.ends, 0)) AS begins, coalesce(l.ends, 0) AS ends,
       -- What has expired is no more to be read.
       greatest(coalesce(l.ends, 0) - greatest(p.committed, coalesce(b.begins, 0)), 0) AS lag,
       CASE WHEN coalesce(l.ends, 0) > greatest(p.committed, coalesce(b.begins, 0)) THEN
           greatest(extract(epoch FROM now() - m.created_at)::double precision, 0) END AS oldest_unread_s,
       CASE WHEN g.ordered_by IS NULL
            THEN (SELECT count(DISTINCT c.member) FROM consumer_leases c
                  WHERE c.group_id = g.group_id AND c.lease IS NOT NULL AND NOT c.done AND c.until > now())
            ELSE (SELECT count(*) FROM consumer_members c WHERE c.group_id = g.group_id AND c.until > now()) END AS members,
       (SELECT count(*) FROM consumer_leases c
        WHERE c.group_id = g.group_id AND c.lease IS NOT NULL AND NOT c.done AND c.until > now())
       + (SELECT count(*) FROM consumer_slots s WHERE s.group_id = g.group_id AND s.lease IS NOT NULL AND s.lease_until > now()) AS leases,
       coalesce((SELECT sum(c.deliveries - 1) FROM consumer_leases c WHERE c.group_id = g.group_id AND NOT c.done AND c.deliveries > 1), 0)
       + coalesce((SELECT sum(s.deliveries - 1) FROM consumer_slots s WHERE s.group_id = g.group_id AND s.deliveries > 1), 0)
       + CASE WHEN g.ordered_by IS NULL THEN greatest(o.deliveries - 1, 0) ELSE 0 END AS redeliveries,
       (SELECT count(*) FROM consumer_parked k WHERE k.group_id = g.group_id AND k.state IN ('parked', 'replaying')) AS parked
FROM consumer_groups g
JOIN consumer_offsets o ON o.group_id = g.group_id
CROSS JOIN LATERAL (
    SELECT CASE WHEN g.ordered_by IS NULL THEN o.committed
                ELSE (SELECT min(s.committed) FROM consumer_slots s WHERE s.group_id = g.group_id) END AS committed
) p
LEFT JOIN LATERAL (
    SELECT base + span AS ends FROM batch_log l WHERE l.tenant_id = g.tenant_id AND l.stream = g.stream ORDER BY base DESC LIMIT 1
) l ON true
LEFT JOIN stream_begins b ON b.tenant_id = g.tenant_id AND b.stream = g.stream
-- The batch that comes next, and when it was stored.
LEFT JOIN LATERAL (
    SELECT batch_id FROM batch_log n
    WHERE n.tenant_id = g.tenant_id AND n.stream = g.stream
      AND n.base >= coalesce((SELECT max(base) FROM batch_log f
                              WHERE f.tenant_id = g.tenant_id AND f.stream = g.stream AND f.base <= p.committed), 0)
    ORDER BY n.base LIMIT 1
) n ON coalesce(l.ends, 0) > p.committed
LEFT JOIN ingest_batches m ON m.tenant_id = g.tenant_id AND m.batch_id = n.batch_id
WHERE g.deleted_at IS NULL AND ($1::text IS NULL OR g.tenant_id = $1) AND ($2::text IS NULL OR g.stream = $2)
  AND ($3::text IS NULL OR g.name = $3) AND (g.stream, g.name) > (coalesce($4, ''), coalesce($5, ''))
ORDER BY g.stream, g.name LIMIT $6
