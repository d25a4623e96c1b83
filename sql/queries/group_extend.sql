-- Gives the lease $3 of the group $1 another $4 ms, if it is of the generation of now ($2), and not over. Its member is
-- there for $5 ms. Returns how many parts it has.
WITH now_of AS (
    SELECT FROM consumer_offsets WHERE group_id = $1 AND generation = $2
), ranges AS (
    UPDATE consumer_leases SET until = now() + $4::bigint * interval '1 millisecond'
    WHERE group_id = $1 AND lease = $3 AND NOT done AND EXISTS (SELECT FROM now_of)
    RETURNING lo
), slots AS (
    UPDATE consumer_slots SET lease_until = now() + $4::bigint * interval '1 millisecond'
    WHERE group_id = $1 AND lease = $3 AND EXISTS (SELECT FROM now_of)
    RETURNING member
), heard AS (
    UPDATE consumer_members SET until = greatest(until, now() + $5::bigint * interval '1 millisecond')
    WHERE group_id = $1 AND member IN (SELECT member FROM slots)
)
SELECT (SELECT count(*) FROM ranges) + (SELECT count(*) FROM slots)
