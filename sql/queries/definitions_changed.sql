-- What every process must know of the streams whose definitions have changed behind the revision $1, of all tenants.
SELECT tenant_id, name, mode, schema_version, mask, deleted_at IS NOT NULL, revision
FROM event_streams WHERE revision > $1 ORDER BY revision
