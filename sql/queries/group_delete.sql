-- Ends the group $1, which is held, and so is its place. Its row goes later, with where it was and what it has parked; what was for its
-- members is of no use any more. Each step waits for the one before it, as in group_reset.sql.
WITH held AS MATERIALIZED (
    UPDATE consumer_offsets SET generation = generation + 1 WHERE group_id = $1 RETURNING group_id
), ended AS (
    UPDATE consumer_groups g SET deleted_at = now() FROM held h WHERE g.group_id = h.group_id
    RETURNING g.group_id
), leases AS (
    DELETE FROM consumer_leases l USING ended e WHERE l.group_id = e.group_id RETURNING 1
), slots AS (
    DELETE FROM consumer_slots s USING (SELECT count(*) FROM leases) before WHERE s.group_id = $1 RETURNING 1
)
DELETE FROM consumer_members m USING (SELECT count(*) FROM slots) before WHERE m.group_id = $1
