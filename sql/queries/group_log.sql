-- The log of the stream $2 of the tenant $1, as group_state.sql has it.
SELECT least(coalesce(b.begins, 0), coalesce(l.ends, 0)), coalesce(l.ends, 0), coalesce(e.epoch, 0),
       CASE WHEN $3 = e.epoch OR $3 IS NULL THEN NULL
            WHEN NOT EXISTS (SELECT FROM log_epochs WHERE epoch = $3) THEN -1
            ELSE (SELECT min(coalesce(s.ended, 0)) FROM log_epochs later
                  LEFT JOIN stream_epochs s ON s.tenant_id = $1 AND s.stream = $2 AND s.epoch = later.epoch
                  WHERE later.epoch > $3) END,
       coalesce(l.batch_id, 0),
       (SELECT CASE WHEN base + span >= $4 THEN batch_id END FROM batch_log
        WHERE tenant_id = $1 AND stream = $2 AND base < $4 ORDER BY base DESC LIMIT 1)
FROM (SELECT max(epoch) AS epoch FROM log_epochs) e
LEFT JOIN LATERAL (SELECT base + span AS ends, batch_id FROM batch_log WHERE tenant_id = $1 AND stream = $2 ORDER BY base DESC LIMIT 1) l ON true
LEFT JOIN stream_begins b ON b.tenant_id = $1 AND b.stream = $2
