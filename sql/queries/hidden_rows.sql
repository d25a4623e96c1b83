-- Chunks of events and metrics that are flagged as wholly in the columnstore (1) and not as partial (8) and yet have a heap: rows
-- there are committed and not seen by readers. See src/ingest/births.rs for how that came about.
SELECT c.chunk
FROM (
    -- Together, so that nothing is asked of a chunk that is dropped meanwhile.
    SELECT format('%I.%I', i.chunk_schema, i.chunk_name) AS chunk, r.relid, _timescaledb_functions.chunk_status(r.relid) AS status
    FROM timescaledb_information.chunks i
    CROSS JOIN LATERAL (SELECT to_regclass(format('%I.%I', i.chunk_schema, i.chunk_name)) AS relid) r
    WHERE i.hypertable_schema = 'tidegate' AND i.hypertable_name IN ('events', 'metrics') AND r.relid IS NOT NULL
) c
WHERE c.status & 1 = 1 AND c.status & 8 = 0 AND pg_relation_size(c.relid) > 0
