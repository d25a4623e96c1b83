-- Writes the definition of the stream $2 of the tenant $1 as it is to be, if nobody has changed it since the revision $3 (0: there was
-- none). The caller holds event_stream_revision, and gives its number as $9. Of a stream that was deleted the numbers of versions go
-- on. Times are those that a new row would have, and the row is given, not selected: otherwise Citus takes no DO UPDATE.
INSERT INTO event_streams AS s (tenant_id, name, description, mode, compatibility, schema_version, versions, mask, revision)
VALUES ($1, $2, $4, $5, $6, $7, coalesce($7, 0), $8, $9)
ON CONFLICT (tenant_id, name) DO UPDATE
SET description = excluded.description, mode = excluded.mode, compatibility = excluded.compatibility,
    schema_version = excluded.schema_version, versions = greatest(s.versions, excluded.versions), mask = excluded.mask,
    revision = excluded.revision, updated_at = excluded.updated_at, deleted_at = NULL,
    created_at = CASE WHEN s.deleted_at IS NULL THEN s.created_at ELSE excluded.created_at END
WHERE s.revision = $3
