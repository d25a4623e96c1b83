-- The definition of the stream $2 of the tenant $1, with what its schema has warned of.
SELECT s.id, s.description, s.mode, s.compatibility, s.schema_version, s.mask, s.created_at, s.updated_at, s.revision, s.versions,
       c.schema::text, coalesce(w.events, 0), w.last_at, w.field, w.rule, s.deleted_at IS NOT NULL, s.name
FROM event_streams s
LEFT JOIN event_stream_schemas c ON c.tenant_id = s.tenant_id AND c.stream = s.name AND c.version = s.schema_version
LEFT JOIN event_stream_warnings w ON w.tenant_id = s.tenant_id AND w.stream = s.name AND w.version = s.schema_version
WHERE s.tenant_id = $1 AND s.name = $2
