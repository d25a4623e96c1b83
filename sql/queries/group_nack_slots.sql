-- Gives back what the lease $3 of the ordered group $1 covers, if it is of the generation of now ($2): to be had again after $4 ms,
-- with the reason $5. With $6 that slot alone. Replays are given back as in group_nack.sql. Returns how many parts that were.
WITH now_of AS (
    SELECT FROM consumer_offsets WHERE group_id = $1 AND generation = $2
), replays AS (
    UPDATE consumer_leases SET lease = NULL, member = NULL, until = now() + $4::bigint * interval '1 millisecond', error = $5::text
    WHERE group_id = $1 AND lease = $3 AND NOT done AND EXISTS (SELECT FROM now_of)
    RETURNING lo
), slots AS (
    UPDATE consumer_slots s SET lease = NULL, not_before = now() + $4::bigint * interval '1 millisecond', error = $5::text
    FROM (SELECT count(*) FROM replays) before
    WHERE s.group_id = $1 AND s.lease = $3 AND ($6::smallint IS NULL OR s.slot = $6) AND EXISTS (SELECT FROM now_of)
    RETURNING s.slot
)
SELECT (SELECT count(*) FROM replays) + (SELECT count(*) FROM slots)
