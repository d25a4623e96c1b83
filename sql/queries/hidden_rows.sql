-- Chunks of events and metrics that are flagged as wholly in the columnstore (1) and not as partial (8) and yet have a heap: rows
-- there are committed and not seen by readers. See src/ingest/births.rs for how that came about.
SELECT format('%I.%I', c.schema_name, c.table_name)
FROM _timescaledb_catalog.chunk c
JOIN _timescaledb_catalog.hypertable h ON h.id = c.hypertable_id
WHERE h.schema_name = 'tidegate' AND h.table_name IN ('events', 'metrics')
  AND c.status & 1 = 1 AND c.status & 8 = 0
  AND pg_relation_size(format('%I.%I', c.schema_name, c.table_name)::regclass) > 0
