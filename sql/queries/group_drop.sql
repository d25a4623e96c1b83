-- Gives parked events of the group $1 of the tenant $2 up: those at the offsets $3, or $4 of them where it is null, the first ones.
-- Returns how many that are, and how many are left.
WITH picked AS (
    SELECT "offset", dead_letter_id FROM consumer_parked
    WHERE group_id = $1 AND state IN ('parked', 'replaying') AND ($3::bigint[] IS NULL OR "offset" = ANY ($3))
    ORDER BY "offset" LIMIT $4
    FOR UPDATE
), gone AS (
    DELETE FROM consumer_leases l USING picked k WHERE l.group_id = $1 AND l.is_replay AND l.lo = k."offset"
), told AS (
    UPDATE consumer_parked p SET state = 'dropped' FROM picked k WHERE p.group_id = $1 AND p."offset" = k."offset"
), noted AS (
    UPDATE dead_letter_events d SET outcome = 'dropped', replayed_at = now(), outcome_code = NULL, outcome_detail = NULL
    FROM picked k WHERE d.tenant_id = $2 AND d.id = k.dead_letter_id
)
SELECT (SELECT count(*) FROM picked),
       (SELECT count(*) FROM consumer_parked WHERE group_id = $1 AND state IN ('parked', 'replaying')) - (SELECT count(*) FROM picked)
