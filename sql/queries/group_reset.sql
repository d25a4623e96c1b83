-- Puts the group $1 at the offset $2, in another generation: what was handed out before is acknowledged in vain, and what was
-- given up behind that offset comes again. Parked events stay parked. Returns the generation.
WITH moved AS (
    UPDATE consumer_offsets
    SET committed = $2, claimed = $2, generation = generation + 1, deliveries = 0, alone = false, committed_at = now()
    WHERE group_id = $1
    RETURNING generation
), leases AS (
    DELETE FROM consumer_leases WHERE group_id = $1 AND NOT is_replay
), slots AS (
    UPDATE consumer_slots
    SET committed = $2, lease = NULL, term = term + 1, deliveries = 0, alone = false, not_before = NULL, error = NULL
    WHERE group_id = $1
), again AS (
    DELETE FROM consumer_parked WHERE group_id = $1 AND "offset" >= $2 AND state IN ('consumed', 'dropped')
)
SELECT generation FROM moved
