-- Adds to what the schemas of streams have warned of, one for each element of the arrays.
INSERT INTO event_stream_warnings AS w (tenant_id, stream, version, events, last_at, field, rule)
SELECT * FROM unnest($1::text[], $2::text[], $3::integer[], $4::bigint[], $5::timestamptz[], $6::text[], $7::text[])
ON CONFLICT (tenant_id, stream, version) DO UPDATE
SET events = w.events + excluded.events, last_at = greatest(w.last_at, excluded.last_at), field = excluded.field, rule = excluded.rule
