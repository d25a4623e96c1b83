-- Ends leases of slots of the ordered group $1 that were not acknowledged in time: of the member $2, and of members who are not heard of
-- any more. A lease ends as a whole before any slot of it is handed out again: else who acknowledges it late would be told that all of it is
-- done, while others have some slots already. One of which somebody holds a slot, since it is just being acknowledged, is left.
WITH late AS MATERIALIZED (
    SELECT s.slot, s.lease FROM consumer_slots s
    WHERE s.group_id = $1 AND s.lease IS NOT NULL AND s.lease_until <= now()
      AND (s.member = $2 OR NOT EXISTS (
          SELECT FROM consumer_members m WHERE m.group_id = $1 AND m.member = s.member AND m.until > now()))
    ORDER BY s.slot
    FOR UPDATE OF s SKIP LOCKED
), whole AS MATERIALIZED (
    SELECT l.lease FROM late l GROUP BY l.lease
    HAVING count(*) = (SELECT count(*) FROM consumer_slots s WHERE s.group_id = $1 AND s.lease = l.lease)
)
UPDATE consumer_slots s SET lease = NULL FROM whole w WHERE s.group_id = $1 AND s.lease = w.lease
