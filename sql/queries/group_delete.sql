-- Ends the group $1; its rows go later.
WITH held AS MATERIALIZED (
    UPDATE consumer_offsets SET generation = generation + 1 WHERE group_id = $1 RETURNING group_id
)
UPDATE consumer_groups g SET deleted_at = now() FROM held h WHERE g.group_id = h.group_id AND g.deleted_at IS NULL
