-- A stream of the tenant $1: where it begins and ends, and which epoch its log is in; and where what was read in the epoch $3 may be
-- gone since: the least offset at which a later epoch began, -1 where the epoch is not of this log. Then the newest batch, and the
-- one that lies before the offset $4, if it is still logged. A stream that is defined and
-- has no event yet begins and ends at 0. No row: there is no such stream.
SELECT least(coalesce(b.begins, 0), l.base + l.span), l.base + l.span, coalesce(e.epoch, 0),
       CASE WHEN $3 = e.epoch OR $3 IS NULL THEN NULL
            WHEN NOT EXISTS (SELECT FROM log_epochs WHERE epoch = $3) THEN -1
            ELSE (SELECT min(coalesce(s.ended, 0)) FROM log_epochs later
                  LEFT JOIN stream_epochs s ON s.tenant_id = $1 AND s.stream = $2 AND s.epoch = later.epoch
                  WHERE later.epoch > $3) END,
       l.batch_id,
       (SELECT CASE WHEN base + span >= $4 THEN batch_id END FROM batch_log
        WHERE tenant_id = $1 AND stream = $2 AND base < $4 ORDER BY base DESC LIMIT 1)
FROM (
    (SELECT base, span, batch_id FROM batch_log WHERE tenant_id = $1 AND stream = $2 ORDER BY base DESC LIMIT 1)
    UNION ALL
    SELECT 0::bigint, 0, 0::bigint FROM event_streams
    WHERE tenant_id = $1 AND name = $2 AND deleted_at IS NULL
          AND NOT EXISTS (SELECT FROM batch_log WHERE tenant_id = $1 AND stream = $2)
) l
LEFT JOIN stream_begins b ON b.tenant_id = $1 AND b.stream = $2
CROSS JOIN (SELECT max(epoch) AS epoch FROM log_epochs) e
