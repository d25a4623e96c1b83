-- Ends the group $1. Its row goes later, with where it was and what it has parked; what was for its members is of no use any more.
WITH held AS MATERIALIZED (
    UPDATE consumer_offsets SET generation = generation + 1 WHERE group_id = $1 RETURNING group_id
), leases AS (
    DELETE FROM consumer_leases l USING held h WHERE l.group_id = h.group_id
), slots AS (
    DELETE FROM consumer_slots s USING held h WHERE s.group_id = h.group_id
), members AS (
    DELETE FROM consumer_members m USING held h WHERE m.group_id = h.group_id
)
UPDATE consumer_groups g SET deleted_at = now() FROM held h WHERE g.group_id = h.group_id AND g.deleted_at IS NULL
