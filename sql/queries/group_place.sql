-- Where the group $1 goes on giving out, if it is in the generation $2; and whether it has $3 ranges that are not passed yet. Held until
-- the end of the transaction.
SELECT claimed, (SELECT count(*) FROM (SELECT FROM consumer_leases WHERE group_id = $1 AND NOT is_replay LIMIT $3) open) >= $3
FROM consumer_offsets WHERE group_id = $1 AND generation = $2
FOR UPDATE
