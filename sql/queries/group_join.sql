-- The member $2 of the group $1 comes, and will be there for $3 ms. Returns how many members there are; no row: there are $4 already. The
-- group is to be held (group_hold.sql), so that of two that come at once each counts the other.
INSERT INTO consumer_members (group_id, member, until)
SELECT $1, $2, now() + $3::bigint * interval '1 millisecond'
WHERE (SELECT count(*) FROM consumer_members WHERE group_id = $1 AND member <> $2 AND until > now()) < $4
ON CONFLICT (group_id, member) DO UPDATE SET until = excluded.until
RETURNING (SELECT count(*) FROM consumer_members WHERE group_id = $1 AND member <> $2 AND until > now()) + 1
