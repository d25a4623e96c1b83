-- Gives the member $2 of the group $1 for $3 ms the offsets from $4, where nothing was given out so far, to $5. A lease's
-- number is followed by twenty bits of chance: a database that went on from an earlier moment and does not know it gives numbers again,
-- and those of before must not do for others.
WITH claimed AS (
    UPDATE consumer_offsets SET claimed = $5 WHERE group_id = $1 AND claimed = $4 RETURNING group_id
)
INSERT INTO consumer_leases (group_id, lo, hi, lease, member, until, deliveries)
SELECT group_id, $4, $5, nextval('consumer_lease_numbers') << 20 | floor(random() * 1048576)::bigint, $2, now() + $3::bigint * interval '1 millisecond', 1 FROM claimed
RETURNING lease
