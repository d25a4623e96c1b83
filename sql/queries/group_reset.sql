-- Puts the group $1, whose place is held and has nothing out, at the offset $2, in another generation: what was handed out before is acknowledged in vain, and what was
-- given up behind that offset comes again. Parked events stay parked. Returns the generation. Each step waits for the one before it, so
-- that rows are locked in the order in which settle_lease locks them.
WITH moved AS MATERIALIZED (
    UPDATE consumer_offsets
    SET committed = $2, claimed = $2, generation = generation + 1, deliveries = 0, alone = false, committed_at = now()
    WHERE group_id = $1
    RETURNING group_id, generation
), again AS (
    DELETE FROM consumer_parked p USING (SELECT count(*) FROM moved) before
    WHERE p.group_id = $1 AND p."offset" >= $2 AND p.state IN ('consumed', 'dropped')
    RETURNING 1
), slots AS (
    UPDATE consumer_slots s
    SET committed = $2, lease = NULL, term = term + 1, deliveries = 0, alone = false, not_before = NULL, error = NULL
    FROM (SELECT count(*) FROM again) before
    WHERE s.group_id = $1
    RETURNING 1
)
SELECT generation FROM moved, (SELECT count(*) FROM slots) done
