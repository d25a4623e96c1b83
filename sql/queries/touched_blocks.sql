-- The blocks of $2 minutes in which the job's queue $1 has due minutes, at most $3 of them: from the oldest on, or from the
-- newest on (see touched_blocks_newest.sql). $4: only blocks that are over as a whole. $5: and noted so many seconds ago. What
-- was noted later than now has waited, too: the clock was set back since, and nothing may wait until it is there again.
SELECT DISTINCT tenant_id, minute - minute % $2 AS block
FROM (
    SELECT tenant_id, minute FROM touched_minutes
    WHERE job = $1 AND since NOT BETWEEN now() - make_interval(secs => $5) AND now() + make_interval(secs => $5)
      AND CASE WHEN $4 THEN minute - minute % $2 + $2 <= floor(extract(epoch FROM now()) / 60)
          -- A minute is due when it is over; one that lies ahead (a sender's clock, or a plan) after a minute.
          ELSE minute < floor(extract(epoch FROM now()) / 60) OR since NOT BETWEEN now() - INTERVAL '60 seconds' AND now() + INTERVAL '60 seconds' END
    ORDER BY minute, tenant_id
    LIMIT $3
) due
ORDER BY block, tenant_id
