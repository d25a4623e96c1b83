-- Gives the member $2 of the group $1 for $3 ms the offsets from $4, where nothing was given out so far, to $5.
WITH claimed AS (
    UPDATE consumer_offsets SET claimed = $5 WHERE group_id = $1 AND claimed = $4 RETURNING group_id
)
INSERT INTO consumer_leases (group_id, lo, hi, lease, member, until, deliveries)
SELECT group_id, $4, $5, nextval('consumer_lease_numbers'), $2, now() + $3::bigint * interval '1 millisecond', 1 FROM claimed
RETURNING lease
