-- Keeps rejected items as they were sent (and, where they were made of another protocol's, what was sent), one for each element of the arrays.
INSERT INTO dead_letter_events (tenant_id, id, stage, code, reason, raw, route, content_type, parameters, item_index, event_id,
                                receipt, api_key_id, received_at, redacted, field_pointer, rule_pointer, schema_version, original)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::text[], $8::text[], $9::jsonb[],
                     $10::integer[], $11::uuid[], $12::uuid[], $13::uuid[], $14::timestamptz[], $15::boolean[],
                     $16::text[], $17::text[], $18::integer[], $19::bytea[])
