-- Has the processor go on with the projection $1, in each stream ($2, $3), from where a rebuild has come to ($4).
INSERT INTO projection_offsets (projection, tenant_id, stream, committed)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bigint[])
ON CONFLICT (projection, tenant_id, stream) DO UPDATE SET committed = EXCLUDED.committed, all_before = 0, updated_at = now()
