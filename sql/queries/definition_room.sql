-- Whether there is a stream $2 of the tenant $1, or room for it: the tenant may have $3, and all may have $4.
SELECT EXISTS (SELECT FROM event_streams WHERE tenant_id = $1 AND name = $2)
    OR (SELECT count(*) FROM event_streams WHERE tenant_id = $1) < $3 AND (SELECT count(*) FROM event_streams) < $4
