-- What was picked (group_pick.sql) is handed out again.
again AS (
    INSERT INTO consumer_leases (group_id, is_replay, lo, hi, slot)
    SELECT $1, true, "offset", "offset" + 1, slot FROM picked
    ON CONFLICT (group_id, is_replay, lo) DO UPDATE
        SET done = false, lease = NULL, member = NULL, until = now(), deliveries = 0, error = NULL
), told AS (
    UPDATE consumer_parked p SET state = 'replaying' FROM picked k WHERE p.group_id = $1 AND p."offset" = k."offset"
)
