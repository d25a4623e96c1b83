-- The member $2 of the group $1 is there, and will be for $3 ms. Returns how many members there are.
INSERT INTO consumer_members (group_id, member, until)
VALUES ($1, $2, now() + $3::bigint * interval '1 millisecond')
ON CONFLICT (group_id, member) DO UPDATE SET until = excluded.until
RETURNING (SELECT count(*) FROM consumer_members WHERE group_id = $1 AND member <> $2 AND until > now()) + 1
