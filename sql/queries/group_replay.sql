-- Hands parked events of the group $1 out again: those at the offsets $2, or $3 of them where it is null, the first ones. What a consumer
-- is just acknowledging is left to it, as in group_drop.sql. Returns how many that are, how many are left, and how many of those that
-- were meant are being acknowledged.
WITH meant AS MATERIALIZED (
    SELECT "offset" FROM consumer_parked
    WHERE group_id = $1 AND state = 'parked' AND ($2::bigint[] IS NULL OR "offset" = ANY ($2))
    ORDER BY "offset" LIMIT $3
), leases AS MATERIALIZED (
    SELECT l.lo FROM meant m JOIN consumer_leases l ON l.lo = m."offset"
    WHERE l.group_id = $1 AND l.is_replay
    ORDER BY l.lo
    FOR UPDATE OF l SKIP LOCKED
), picked AS MATERIALIZED (
    SELECT p."offset", p.slot FROM meant m JOIN consumer_parked p ON p."offset" = m."offset"
    WHERE p.group_id = $1 AND p.state = 'parked'
      AND (p."offset" IN (SELECT lo FROM leases)
           OR NOT EXISTS (SELECT FROM consumer_leases l WHERE l.group_id = $1 AND l.is_replay AND l.lo = p."offset"))
    ORDER BY p."offset"
    FOR UPDATE OF p SKIP LOCKED
), again AS (
    INSERT INTO consumer_leases (group_id, is_replay, lo, hi, slot)
    SELECT $1, true, "offset", "offset" + 1, slot FROM picked
    ON CONFLICT (group_id, is_replay, lo) DO UPDATE
        SET done = false, lease = NULL, member = NULL, until = now(), deliveries = 0, error = NULL
), told AS (
    UPDATE consumer_parked p SET state = 'replaying' FROM picked k WHERE p.group_id = $1 AND p."offset" = k."offset"
)
SELECT (SELECT count(*) FROM picked),
       (SELECT count(*) FROM consumer_parked WHERE group_id = $1 AND state = 'parked') - (SELECT count(*) FROM picked),
       (SELECT count(*) FROM meant) - (SELECT count(*) FROM picked)
