-- The slots of the member $2 of the group $1, but for those that its consumers are just acknowledging.
SELECT slot, committed, term, lease IS NOT NULL, lease IS NOT NULL AND lease_until <= now(), coalesce(not_before <= now(), true), lease_hi, deliveries,
       alone, error
FROM consumer_slots
WHERE group_id = $1 AND member = $2
ORDER BY slot
FOR UPDATE SKIP LOCKED
