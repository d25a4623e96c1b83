-- What was picked (group_pick.sql) is given up: the dead letters of the tenant $5 say so.
gone AS (
    DELETE FROM consumer_leases l USING picked k WHERE l.group_id = $1 AND l.is_replay AND l.lo = k."offset"
), told AS (
    UPDATE consumer_parked p SET state = 'dropped' FROM picked k WHERE p.group_id = $1 AND p."offset" = k."offset"
), noted AS (
    UPDATE dead_letter_events d SET outcome = 'dropped', replayed_at = now(), outcome_code = NULL, outcome_detail = NULL
    FROM picked k WHERE d.tenant_id = $5 AND d.id = k.dead_letter_id
)
