-- The member $2 of the group $1 is there still, and will be for $3 ms. Returns how many members there are; no row: it is not one of them.
UPDATE consumer_members SET until = now() + $3::bigint * interval '1 millisecond'
WHERE group_id = $1 AND member = $2 AND until > now()
RETURNING (SELECT count(*) FROM consumer_members WHERE group_id = $1 AND member <> $2 AND until > now()) + 1
