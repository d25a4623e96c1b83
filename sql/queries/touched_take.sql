-- Takes the due minutes of one block away: before anything is read of them, so that what is written from now on is noted
-- again (see touched_spread.sql). $1 queues, $2 tenant, $3 block, $4 its width, $5 whether only whole blocks are due.
-- Returns the minutes and since when the oldest of them waited.
WITH taken AS (
    DELETE FROM touched_minutes
    WHERE job = ANY ($1) AND tenant_id = $2 AND minute >= $3 AND minute < $3 + $4
      AND ($5 OR minute < floor(extract(epoch FROM now()) / 60) OR since NOT BETWEEN now() - INTERVAL '60 seconds' AND now() + INTERVAL '60 seconds')
    RETURNING minute, since
)
SELECT min(minute), max(minute) + 1, min(since) FROM taken
