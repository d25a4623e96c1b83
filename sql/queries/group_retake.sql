-- Gives the member $2 of the group $1 for $3 ms what is nobody's: given back, or not acknowledged in time; replays first, and with
-- $4 nothing else. Of an ordered group what is of its slots $5. A lease that was not acknowledged in time may have several parts, where
-- events of it were given back by themselves: it ends as a whole when one of them is given to another, since who acknowledges it late would
-- else be told that all of it is done. One of which somebody holds a part, since it is just being acknowledged, is left.
WITH free AS MATERIALIZED (
    -- By itself, since a join may look for it again with each row, and then takes another one each time.
    SELECT group_id, is_replay, lo, lease FROM consumer_leases
    WHERE group_id = $1 AND NOT done AND until <= now() AND (is_replay OR NOT $4) AND (slot IS NULL OR slot = ANY ($5::smallint[]))
    ORDER BY is_replay DESC, lo LIMIT 1
    FOR UPDATE SKIP LOCKED
), parts AS MATERIALIZED (
    -- Not by a join, which may look through all that the group has out.
    SELECT l.is_replay, l.lo FROM consumer_leases l
    WHERE l.group_id = $1 AND l.lease = (SELECT f.lease FROM free f) AND NOT l.done
      AND (l.is_replay, l.lo) <> (SELECT f.is_replay, f.lo FROM free f)
    FOR UPDATE OF l SKIP LOCKED
), whole AS MATERIALIZED (
    SELECT f.group_id, f.is_replay, f.lo FROM free f
    WHERE (SELECT count(*) FROM parts) = (
        SELECT count(*) FROM consumer_leases l
        WHERE l.group_id = $1 AND l.lease = f.lease AND NOT l.done AND (l.is_replay, l.lo) <> (f.is_replay, f.lo))
), ended AS (
    UPDATE consumer_leases l SET lease = NULL, member = NULL FROM parts p, whole
    WHERE l.group_id = $1 AND l.is_replay = p.is_replay AND l.lo = p.lo
)
UPDATE consumer_leases l
SET lease = nextval('consumer_lease_numbers') << 20 | floor(random() * 1048576)::bigint, member = $2, until = now() + $3::bigint * interval '1 millisecond',
    deliveries = l.deliveries + 1
FROM whole w
WHERE l.group_id = w.group_id AND l.is_replay = w.is_replay AND l.lo = w.lo
RETURNING l.lo, l.hi, l.lease, l.deliveries - 1, l.alone, l.is_replay, l.error
