-- Moves groups on to the first offset that is not acknowledged: the group $1, or all where it is null. A group that was reset
-- meanwhile is left alone; so is one that a consumer's own transaction holds, behind which all others would wait. Deletes what is passed.
WITH free AS MATERIALIZED (
    SELECT group_id FROM consumer_offsets
    WHERE group_id IN (SELECT group_id FROM consumer_leases WHERE done AND ($1::bigint IS NULL OR group_id = $1))
    FOR UPDATE SKIP LOCKED
), reached AS MATERIALIZED (
    -- As this statement's snapshot has it, like the leases: a range that was claimed since is not passed.
    SELECT o.group_id, o.generation, coalesce((
        SELECT l.lo FROM consumer_leases l
        WHERE l.group_id = o.group_id AND NOT l.is_replay AND NOT l.done ORDER BY l.lo LIMIT 1
    ), o.claimed) AS reached
    FROM free f JOIN consumer_offsets o ON o.group_id = f.group_id
), moved AS (
    UPDATE consumer_offsets o
    SET committed = r.reached, deliveries = 0, alone = false, committed_at = now()
    FROM reached r
    WHERE o.group_id = r.group_id AND o.generation = r.generation AND o.committed < r.reached AND o.claimed >= r.reached
    RETURNING o.group_id, r.reached
), replayed AS (
    DELETE FROM consumer_leases l WHERE l.is_replay AND l.done AND ($1::bigint IS NULL OR l.group_id = $1)
)
DELETE FROM consumer_leases l USING moved m
WHERE l.group_id = m.group_id AND NOT l.is_replay AND l.done AND l.hi <= m.reached
