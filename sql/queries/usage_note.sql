-- What requests of a transaction add to the use of their tenants ($1), by days since 1970 ($2).
INSERT INTO usage_notes (tenant_id, day, requests, events, samples, rejected, bytes)
SELECT u.tenant_id, DATE '1970-01-01' + u.day, u.requests, u.events, u.samples, u.rejected, u.bytes
FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
     AS u (tenant_id, day, requests, events, samples, rejected, bytes)
