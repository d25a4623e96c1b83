-- Keeps events of the tenant $1 that a projection cannot take, one for each element of $2 to $9, as dead letters: of a UTC day no more
-- than $10 bytes of a tenant, those that come first. Returns how many are kept.
WITH sent AS (
    SELECT *, sum(octet_length(raw) + 512) OVER (ORDER BY turn) AS bytes
    FROM unnest($2::uuid[], $3::text[], $4::text[], $5::bytea[], $6::text[], $7::uuid[], $8::uuid[], $9::timestamptz[])
         WITH ORDINALITY AS s (id, code, reason, raw, parameters, event_id, api_key_id, received_at, turn)
), kept AS (
    INSERT INTO dead_letter_events (tenant_id, id, stage, code, reason, raw, route, content_type, parameters, item_index, event_id,
                                    receipt, api_key_id, received_at, redacted)
    SELECT $1::text, id, 'project', code, reason, raw, 'project', 'application/json', parameters::jsonb, 0, event_id, id, api_key_id,
           received_at, false
    FROM sent
    WHERE bytes <= $10::bigint - coalesce((SELECT l.bytes FROM projection_letters l
                                   WHERE l.tenant_id = $1 AND l.day = (now() AT TIME ZONE 'UTC')::date), 0)
    ON CONFLICT (tenant_id, id) DO NOTHING
    RETURNING octet_length(raw) + 512 AS bytes
), counted AS (
    INSERT INTO projection_letters AS l (tenant_id, day, bytes)
    SELECT $1, (now() AT TIME ZONE 'UTC')::date, sum(bytes) FROM kept HAVING count(*) > 0
    ON CONFLICT (tenant_id) DO UPDATE
    SET bytes = CASE WHEN l.day = EXCLUDED.day THEN l.bytes ELSE 0 END + EXCLUDED.bytes, day = EXCLUDED.day
)
SELECT count(*) FROM kept
