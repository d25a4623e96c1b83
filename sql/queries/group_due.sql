-- In how many ms there may be something in the group $1 for its member $2 that nobody is told: what was given back with a delay, what is
-- not acknowledged in time, and slots of members that are not heard of any more. What could be had already and was not, since a
-- consumer's own transaction holds it, and the member's own slots that are out, may be there any moment: in $3 ms. Null: nothing.
SELECT ceil(extract(epoch FROM min(CASE WHEN t.at > now() THEN t.at - now() ELSE $3::bigint * interval '1 millisecond' END)) * 1000)::bigint
FROM (
    SELECT until AS at FROM consumer_leases WHERE group_id = $1 AND NOT done
    UNION ALL
    SELECT CASE WHEN lease IS NULL THEN not_before ELSE now() END FROM consumer_slots
    WHERE group_id = $1 AND member = $2 AND (lease IS NOT NULL OR not_before > now())
    UNION ALL
    -- What was of those that are silent already is taken by a look.
    SELECT until FROM consumer_members WHERE group_id = $1 AND member <> $2 AND until > now()
) t
