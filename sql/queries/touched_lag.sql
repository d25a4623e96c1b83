-- Seconds that the minute which waits longest in the queues $1 has been waiting, of those that are due ($2 and $3 as in
-- touched_blocks.sql); 0 when none is.
SELECT coalesce(extract(epoch FROM now() - min(since)), 0)::double precision
FROM (
    SELECT since FROM touched_minutes
    WHERE job = ANY ($1)
      AND CASE WHEN $3 THEN minute - minute % $2 + $2 <= floor(extract(epoch FROM now()) / 60)
          ELSE minute < floor(extract(epoch FROM now()) / 60) OR since NOT BETWEEN now() - INTERVAL '60 seconds' AND now() + INTERVAL '60 seconds' END
    UNION ALL
    SELECT since FROM touched_passes WHERE job = ANY ($1)
) waiting
