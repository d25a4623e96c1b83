-- Gives the member $2 of the group $1 for $3 ms what is nobody's: given back, or not acknowledged in time; replays first, and with
-- $4 nothing else. Of an ordered group what is of its slots $5.
WITH free AS MATERIALIZED (
    -- By itself, since a join may look for it again with each row, and then takes another one each time.
    SELECT group_id, is_replay, lo FROM consumer_leases
    WHERE group_id = $1 AND NOT done AND until <= now() AND (is_replay OR NOT $4) AND (slot IS NULL OR slot = ANY ($5::smallint[]))
    ORDER BY is_replay DESC, lo LIMIT 1
    FOR UPDATE SKIP LOCKED
)
UPDATE consumer_leases l
SET lease = nextval('consumer_lease_numbers') << 20 | floor(random() * 1048576)::bigint, member = $2, until = now() + $3::bigint * interval '1 millisecond',
    deliveries = l.deliveries + 1
FROM free
WHERE l.group_id = free.group_id AND l.is_replay = free.is_replay AND l.lo = free.lo
RETURNING l.lo, l.hi, l.lease, l.deliveries - 1, l.alone, l.is_replay, l.error
