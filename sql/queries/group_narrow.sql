-- Ends what the lease $2 of the group $1 covers at the offset $3; what lies behind is nobody's, and was not handed out. With $4 the
-- lease covers one event.
WITH whole AS MATERIALIZED (
    SELECT is_replay, lo, hi, deliveries, error FROM consumer_leases
    WHERE group_id = $1 AND lease = $2 AND NOT done AND lo < $3
    FOR UPDATE
), narrowed AS (
    UPDATE consumer_leases l SET hi = least(l.hi, $3), alone = $4
    FROM whole w WHERE l.group_id = $1 AND l.is_replay = w.is_replay AND l.lo = w.lo
)
INSERT INTO consumer_leases (group_id, is_replay, lo, hi, deliveries, error)
SELECT $1, is_replay, $3, hi, deliveries - 1, error FROM whole WHERE hi > $3
