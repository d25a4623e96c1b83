-- Remembers the outcomes of requests, one for each element of the arrays.
INSERT INTO ingest_ledger (tenant_id, idempotency_key, request_sha256, route, receipt, http_status, accepted, rejected, errors,
                           duplicates, rejections)
SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::uuid[], $6::smallint[], $7::integer[], $8::integer[],
                     $9::jsonb[], $10::integer[], $11::bytea[])
