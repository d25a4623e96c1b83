-- Parks events of the group $1 of the tenant $2, one for each element of $3 to $8: what they were is kept as dead letters, and the group
-- passes them over. Those that are parked already stay as they are. Returns how many were not.
WITH sent AS (
    SELECT * FROM unnest($3::uuid[], $4::bigint[], $5::uuid[], $6::bytea[], $7::timestamptz[], $8::smallint[])
        AS s (id, at, event_id, raw, received_at, slot)
), parked AS (
    INSERT INTO consumer_parked (group_id, "offset", dead_letter_id, slot, deliveries)
    SELECT $1::bigint, at, id, slot, $9::integer FROM sent
    ON CONFLICT (group_id, "offset") DO NOTHING
    RETURNING "offset"
), kept AS (
    INSERT INTO dead_letter_events (tenant_id, id, stage, code, reason, raw, route, content_type, parameters, item_index, event_id,
                                    receipt, api_key_id, received_at, redacted)
    SELECT $2::text, s.id, 'consume', $10::text, $11::text, s.raw, 'consume', 'application/json', $12::jsonb || jsonb_build_object('offset', s.at), 0,
           s.event_id, s.id, $13::uuid, s.received_at, false
    FROM sent s JOIN parked p ON p."offset" = s.at
), full_up AS (
    UPDATE consumer_groups SET paused_at = now(), paused_reason = 'so many events are parked that no more are: replay them or drop them'
    WHERE group_id = $1 AND paused_at IS NULL
      AND (SELECT count(*) FROM consumer_parked WHERE group_id = $1 AND state IN ('parked', 'replaying')) >= $14
)
SELECT count(*) FROM parked
