-- What is known of rows before they were compressed: of chunks that were written as rows. Those that were born in the columnstore
-- have never been anything else.
SELECT coalesce(a.view_name, h.table_name)::text,
       sum(s.uncompressed_heap_size + s.uncompressed_toast_size + s.uncompressed_index_size)::bigint,
       sum(s.compressed_heap_size + s.compressed_toast_size + s.compressed_index_size)::bigint
FROM _timescaledb_catalog.compression_chunk_size s
JOIN _timescaledb_catalog.chunk c ON c.id = s.chunk_id
JOIN _timescaledb_catalog.hypertable h ON h.id = c.hypertable_id
LEFT JOIN timescaledb_information.continuous_aggregates a
    ON a.materialization_hypertable_schema = h.schema_name AND a.materialization_hypertable_name = h.table_name
WHERE coalesce(a.view_schema, h.schema_name) = 'tidegate'
GROUP BY 1
