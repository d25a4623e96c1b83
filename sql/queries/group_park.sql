-- Parks events of the group $1 of the tenant $2, one for each element of $3 to $8: what they were is kept as dead letters, and the group
-- passes them over. Those that are parked already stay as they are. With $15, on purpose, so it is of what a member has again by a
-- replay, which ends by that, and of what was consumed or dropped. Returns how many were not parked. Rows are locked in the order in
-- which settle_lease locks them.
WITH sent AS (
    SELECT * FROM unnest($3::uuid[], $4::bigint[], $5::uuid[], $6::bytea[], $7::timestamptz[], $8::smallint[])
        AS s (id, at, event_id, raw, received_at, slot)
), replays AS (
    DELETE FROM consumer_leases l USING sent s WHERE $15::boolean AND l.group_id = $1 AND l.is_replay AND l.lo = s.at AND NOT l.done
    RETURNING l.lo
), again AS MATERIALIZED (
    UPDATE consumer_parked p SET state = 'parked' FROM sent s, (SELECT count(*) FROM replays) before
    WHERE $15 AND p.group_id = $1 AND p."offset" = s.at AND p.state = 'replaying'
    RETURNING p."offset", p.dead_letter_id
), parked AS (
    INSERT INTO consumer_parked AS p (group_id, "offset", dead_letter_id, slot, deliveries)
    SELECT $1::bigint, at, id, slot, $9::integer FROM sent WHERE at NOT IN (SELECT "offset" FROM again)
    ON CONFLICT (group_id, "offset") DO UPDATE
        SET state = 'parked', dead_letter_id = excluded.dead_letter_id, deliveries = excluded.deliveries, parked_at = now()
        WHERE $15 AND p.state IN ('consumed', 'dropped')
    RETURNING "offset"
), noted AS (
    UPDATE dead_letter_events d SET outcome = 'failed', replayed_at = now(), outcome_code = $10, outcome_detail = $11
    FROM again a WHERE d.tenant_id = $2 AND d.id = a.dead_letter_id
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
SELECT (SELECT count(*) FROM parked) + (SELECT count(*) FROM again)
