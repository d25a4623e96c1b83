-- Gives the member $2 of the group $1 up to $3 slots that are nobody's, or of somebody who is not heard of any more and has nothing out
-- (group_slots_late.sql).
WITH free AS MATERIALIZED (
    -- As in group_retake.sql.
    SELECT slot FROM consumer_slots f
    WHERE f.group_id = $1 AND f.lease IS NULL AND (f.member IS NULL OR NOT EXISTS (
        SELECT FROM consumer_members m WHERE m.group_id = $1 AND m.member = f.member AND m.until > now()))
    ORDER BY slot LIMIT $3
    FOR UPDATE OF f SKIP LOCKED
)
UPDATE consumer_slots s SET member = $2, term = s.term + 1
FROM free
WHERE s.group_id = $1 AND s.slot = free.slot
RETURNING s.slot, s.committed, s.term, false, false, coalesce(s.not_before <= now(), true), s.lease_hi, s.deliveries, s.alone, s.error
