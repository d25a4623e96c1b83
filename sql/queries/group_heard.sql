-- Who holds the lease $2 of slots of the group $1 is there, and will be for $3 ms.
UPDATE consumer_members m
SET until = greatest(m.until, now() + $3::bigint * interval '1 millisecond')
WHERE m.group_id = $1
  AND m.member IN (SELECT s.member FROM consumer_slots s WHERE s.group_id = $1 AND s.lease = $2)
