-- Gives back what the lease $3 of the group $1 covers, if it is of the generation of now ($2): to be had again after $4 ms, with the
-- reason $5; at once where it has come for the last time, so that it is parked by who asks next. With $6 the event at that offset
-- alone: the rest stays the member's, under the same lease. Returns how many parts that were.
WITH held AS MATERIALIZED (
    SELECT l.*, now() + CASE WHEN g.max_deliveries > 0 AND l.deliveries >= g.max_deliveries AND (l.alone OR l.is_replay) THEN 0 ELSE $4::bigint END
                        * interval '1 millisecond' AS again
    FROM consumer_leases l JOIN consumer_groups g ON g.group_id = l.group_id
    WHERE l.group_id = $1 AND l.lease = $3 AND NOT l.done AND ($6::bigint IS NULL OR l.lo <= $6 AND l.hi > $6)
      AND EXISTS (SELECT FROM consumer_offsets o WHERE o.group_id = $1 AND o.generation = $2)
    FOR UPDATE OF l
), before AS (
    -- Where something stays before it, that keeps the row; else the row is what is given back.
    UPDATE consumer_leases l SET
        hi = CASE WHEN $6 > l.lo THEN $6 WHEN $6 IS NULL THEN l.hi ELSE $6 + 1 END,
        lease = CASE WHEN $6 > l.lo THEN l.lease END,
        member = CASE WHEN $6 > l.lo THEN l.member END,
        until = CASE WHEN $6 > l.lo THEN l.until ELSE h.again END,
        alone = CASE WHEN $6 > l.lo THEN l.alone WHEN $6 IS NULL THEN l.alone ELSE l.hi = l.lo + 1 AND l.alone END,
        error = CASE WHEN $6 > l.lo THEN l.error ELSE $5::text END
    FROM held h WHERE l.group_id = h.group_id AND l.is_replay = h.is_replay AND l.lo = h.lo
), itself AS (
    INSERT INTO consumer_leases (group_id, is_replay, lo, hi, until, deliveries, slot, error)
    SELECT group_id, is_replay, $6, $6 + 1, again, deliveries, slot, $5::text
    FROM held WHERE $6 > lo
), behind AS (
    INSERT INTO consumer_leases (group_id, is_replay, lo, hi, lease, member, until, deliveries, alone, slot, error)
    SELECT group_id, is_replay, $6 + 1, hi, lease, member, until, deliveries, alone, slot, error FROM held WHERE $6 + 1 < hi
)
SELECT count(*) FROM held
