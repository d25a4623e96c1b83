-- Hands parked events of the group $1 out again: those at the offsets $2, or $3 of them where it is null, the first ones. Returns
-- how many that are, and how many are left.
WITH picked AS (
    SELECT "offset", slot FROM consumer_parked
    WHERE group_id = $1 AND state = 'parked' AND ($2::bigint[] IS NULL OR "offset" = ANY ($2))
    ORDER BY "offset" LIMIT $3
    FOR UPDATE
), again AS (
    INSERT INTO consumer_leases (group_id, is_replay, lo, hi, slot)
    SELECT $1, true, "offset", "offset" + 1, slot FROM picked
    ON CONFLICT (group_id, is_replay, lo) DO UPDATE
        SET done = false, lease = NULL, member = NULL, until = now(), deliveries = 0, error = NULL
), told AS (
    UPDATE consumer_parked p SET state = 'replaying' FROM picked k WHERE p.group_id = $1 AND p."offset" = k."offset"
)
SELECT (SELECT count(*) FROM picked),
       (SELECT count(*) FROM consumer_parked WHERE group_id = $1 AND state = 'parked') - (SELECT count(*) FROM picked)
