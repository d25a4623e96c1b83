-- What the ledger knows of the keys $2 of the tenants $1; n counts the keys from 1.
SELECT k.n, l.request_sha256, l.receipt, l.http_status, l.accepted, l.rejected, l.errors, l.duplicates, l.rejections
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k (tenant_id, key, n)
JOIN ingest_ledger l ON l.tenant_id = k.tenant_id AND l.idempotency_key = k.key
