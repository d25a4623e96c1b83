-- Makes the group $3 of the stream $2 of the tenant $1, at the offset $8; with slots, where it is ordered. No row: the tenant has
-- $9 groups already.
WITH made AS (
    INSERT INTO consumer_groups (tenant_id, stream, name, max_deliveries, ack_timeout_ms, event_types, ordered_by)
    SELECT $1, $2, $3, $4::integer, $5::bigint, $6::text[], $7::text
    WHERE (SELECT count(*) FROM consumer_groups WHERE tenant_id = $1 AND deleted_at IS NULL) < $9
    RETURNING group_id, ordered_by
), placed AS (
    INSERT INTO consumer_offsets (group_id, committed, claimed, generation)
    -- Not one that a group of this name had before.
    SELECT group_id, $8::bigint, $8::bigint, greatest(1, (SELECT max(o.generation) + 1 FROM consumer_groups g JOIN consumer_offsets o ON o.group_id = g.group_id
                                          WHERE g.tenant_id = $1 AND g.stream = $2 AND g.name = $3))
    FROM made
), slots AS (
    INSERT INTO consumer_slots (group_id, slot, committed) SELECT group_id, slot, $8::bigint FROM made, generate_series(0, 63) slot WHERE ordered_by IS NOT NULL
)
SELECT group_id FROM made
