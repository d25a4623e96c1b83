-- Picks parked events of the group $1 in one of the states $4: those at the offsets $2, or $3 of them where it is null, the first ones.
-- What a consumer is just acknowledging in a transaction of its own is left to it: nobody waits for it, so that neither can wait in a
-- circle. What becomes of them is put in. Returns how many that are, how many are left, and how many of those that were meant are being
-- acknowledged.
WITH of_group AS MATERIALIZED (
    -- What is handed out again is added to the group: it is not deleted meanwhile.
    SELECT group_id FROM consumer_groups WHERE group_id = $1 AND deleted_at IS NULL FOR SHARE
), meant AS MATERIALIZED (
    SELECT "offset" FROM consumer_parked
    WHERE group_id = (SELECT group_id FROM of_group) AND state = ANY ($4::text[]) AND ($2::bigint[] IS NULL OR "offset" = ANY ($2))
    ORDER BY "offset" LIMIT $3
), leases AS MATERIALIZED (
    SELECT l.lo FROM meant m JOIN consumer_leases l ON l.lo = m."offset"
    WHERE l.group_id = $1 AND l.is_replay
    ORDER BY l.lo
    FOR UPDATE OF l SKIP LOCKED
), picked AS MATERIALIZED (
    SELECT p."offset", p.slot, p.dead_letter_id FROM meant m JOIN consumer_parked p ON p."offset" = m."offset"
    WHERE p.group_id = $1 AND p.state = ANY ($4)
      AND (p."offset" IN (SELECT lo FROM leases)
           OR NOT EXISTS (SELECT FROM consumer_leases l WHERE l.group_id = $1 AND l.is_replay AND l.lo = p."offset"))
    ORDER BY p."offset"
    FOR UPDATE OF p SKIP LOCKED
), {then}
SELECT (SELECT count(*) FROM picked),
       (SELECT count(*) FROM consumer_parked WHERE group_id = $1 AND state = ANY ($4)) - (SELECT count(*) FROM picked),
       (SELECT count(*) FROM meant) - (SELECT count(*) FROM picked)
