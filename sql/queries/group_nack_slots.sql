-- Gives back what the lease $3 of the ordered group $1 covers, if it is of the generation of now ($2): to be had again after $4 ms,
-- with the reason $5; at once where it has come for the last time, so that it is parked by who asks next. With $6 that slot alone.
-- Replays are given back as in group_nack.sql. Returns how many parts that were.
WITH now_of AS (
    SELECT nullif(g.max_deliveries, 0) AS most FROM consumer_offsets o JOIN consumer_groups g ON g.group_id = o.group_id
    WHERE o.group_id = $1 AND o.generation = $2
), replays AS (
    UPDATE consumer_leases l SET lease = NULL, member = NULL, error = $5::text,
        until = now() + CASE WHEN l.deliveries >= n.most THEN 0 ELSE $4::bigint END * interval '1 millisecond'
    FROM now_of n
    WHERE l.group_id = $1 AND l.lease = $3 AND NOT l.done
    RETURNING l.lo
), slots AS (
    UPDATE consumer_slots s SET lease = NULL, error = $5::text,
        not_before = now() + CASE WHEN s.alone AND s.deliveries >= n.most THEN 0 ELSE $4::bigint END * interval '1 millisecond'
    FROM (SELECT count(*) FROM replays) before, now_of n
    WHERE s.group_id = $1 AND s.lease = $3 AND ($6::smallint IS NULL OR s.slot = $6)
    RETURNING s.slot
)
SELECT (SELECT count(*) FROM replays) + (SELECT count(*) FROM slots)
