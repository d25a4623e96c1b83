-- Deletes what groups are done with: members that are not heard of, rows of parked events that were consumed, dropped or expired and
-- that the group has passed, and what belonged to groups that were deleted $1 seconds ago.
WITH passed AS MATERIALIZED (
    SELECT g.group_id, g.tenant_id,
           CASE WHEN g.ordered_by IS NULL THEN o.committed
                ELSE (SELECT min(s.committed) FROM consumer_slots s WHERE s.group_id = g.group_id) END AS committed
    FROM consumer_groups g JOIN consumer_offsets o ON o.group_id = g.group_id
    WHERE EXISTS (SELECT FROM consumer_parked p WHERE p.group_id = g.group_id)
), members AS (
    DELETE FROM consumer_members WHERE until < now() - interval '1 hour'
), parked AS (
    DELETE FROM consumer_parked k USING passed g CROSS JOIN LATERAL (
        -- Letter by letter: of an EXISTS among other conditions all letters would be read.
        SELECT p."offset" FROM consumer_parked p
        LEFT JOIN LATERAL (SELECT d.id FROM dead_letter_events d WHERE d.tenant_id = g.tenant_id AND d.id = p.dead_letter_id LIMIT 1) d ON true
        WHERE p.group_id = g.group_id AND p."offset" < g.committed AND (p.state IN ('consumed', 'dropped') OR d.id IS NULL)
        ORDER BY p."offset" LIMIT 1000
    ) p
    WHERE k.group_id = g.group_id AND k."offset" = p."offset"
    RETURNING 1
), deleted AS (
    DELETE FROM consumer_groups WHERE deleted_at < now() - make_interval(secs => $1::bigint)
    RETURNING group_id
), leases AS (
    -- The rest goes by reference; a lease has none, since a row that all of them name would be locked with each.
    DELETE FROM consumer_leases l USING deleted d WHERE l.group_id = d.group_id
)
SELECT (SELECT count(*) FROM parked), (SELECT count(*) FROM deleted)
