-- The member $2 of the group $1 goes.
WITH gone AS (
    DELETE FROM consumer_members WHERE group_id = $1 AND member = $2
), slots AS (
    UPDATE consumer_slots SET member = NULL, lease = NULL, term = term + 1 WHERE group_id = $1 AND member = $2
)
UPDATE consumer_leases SET lease = NULL, member = NULL, until = now() WHERE group_id = $1 AND member = $2 AND NOT done
