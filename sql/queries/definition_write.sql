-- Writes the definition of the stream $2 of the tenant $1 as it is to be, if nobody has changed it since the revision $3 (0: there was
-- none), and if the tenant may have $10 and all may have $11. The caller holds event_stream_revision, and gives its number as $9.
-- Of a stream that was deleted the numbers of versions go on.
INSERT INTO event_streams AS s (tenant_id, name, description, mode, compatibility, schema_version, versions, mask, revision)
SELECT $1, $2, $4, $5, $6, $7, coalesce($7, 0), $8, $9
WHERE EXISTS (SELECT FROM event_streams WHERE tenant_id = $1 AND name = $2)
   OR (SELECT count(*) FROM event_streams WHERE tenant_id = $1) < $10 AND (SELECT count(*) FROM event_streams) < $11
ON CONFLICT (tenant_id, name) DO UPDATE
SET description = excluded.description, mode = excluded.mode, compatibility = excluded.compatibility,
    schema_version = excluded.schema_version, versions = greatest(s.versions, excluded.versions), mask = excluded.mask,
    revision = excluded.revision, updated_at = now(), deleted_at = NULL,
    created_at = CASE WHEN s.deleted_at IS NULL THEN s.created_at ELSE now() END
WHERE s.revision = $3
