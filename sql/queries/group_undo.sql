-- The lease $2 of the group $1 was not handed out after all.
WITH slots AS (
    UPDATE consumer_slots SET lease = NULL, deliveries = greatest(deliveries - 1, 0) WHERE group_id = $1 AND lease = $2
)
UPDATE consumer_leases SET lease = NULL, member = NULL, until = now(), deliveries = greatest(deliveries - 1, 0)
WHERE group_id = $1 AND lease = $2 AND NOT done
