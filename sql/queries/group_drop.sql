-- Gives parked events of the group $1 of the tenant $2 up: those at the offsets $3, or $4 of them where it is null, the first ones. What
-- a consumer is just acknowledging in a transaction of its own is left to it: nobody waits for it, so that neither can wait in a circle.
-- Returns how many were given up, how many are left, and how many of those that were meant are being acknowledged.
WITH meant AS MATERIALIZED (
    SELECT "offset" FROM consumer_parked
    WHERE group_id = $1 AND state IN ('parked', 'replaying') AND ($3::bigint[] IS NULL OR "offset" = ANY ($3))
    ORDER BY "offset" LIMIT $4
), leases AS MATERIALIZED (
    SELECT l.lo FROM meant m JOIN consumer_leases l ON l.lo = m."offset"
    WHERE l.group_id = $1 AND l.is_replay
    ORDER BY l.lo
    FOR UPDATE OF l SKIP LOCKED
), picked AS MATERIALIZED (
    SELECT p."offset", p.dead_letter_id FROM meant m JOIN consumer_parked p ON p."offset" = m."offset"
    WHERE p.group_id = $1 AND p.state IN ('parked', 'replaying')
      AND (p."offset" IN (SELECT lo FROM leases)
           OR NOT EXISTS (SELECT FROM consumer_leases l WHERE l.group_id = $1 AND l.is_replay AND l.lo = p."offset"))
    ORDER BY p."offset"
    FOR UPDATE OF p SKIP LOCKED
), gone AS (
    DELETE FROM consumer_leases l USING picked k WHERE l.group_id = $1 AND l.is_replay AND l.lo = k."offset"
), told AS (
    UPDATE consumer_parked p SET state = 'dropped' FROM picked k WHERE p.group_id = $1 AND p."offset" = k."offset"
), noted AS (
    UPDATE dead_letter_events d SET outcome = 'dropped', replayed_at = now(), outcome_code = NULL, outcome_detail = NULL
    FROM picked k WHERE d.tenant_id = $2 AND d.id = k.dead_letter_id
)
SELECT (SELECT count(*) FROM picked),
       (SELECT count(*) FROM consumer_parked WHERE group_id = $1 AND state IN ('parked', 'replaying')) - (SELECT count(*) FROM picked),
       (SELECT count(*) FROM meant) - (SELECT count(*) FROM picked)
