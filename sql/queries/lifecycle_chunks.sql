-- The chunks of all hypertables of the schema, those of continuous aggregates under the aggregate's name: relation, chunk, bounds in
-- microseconds since 1970, status bits, and the relation of what is in the columnstore. Oldest first.
SELECT coalesce(a.view_name, i.hypertable_name)::text AS relation,
       format('%I.%I', i.chunk_schema, i.chunk_name) AS chunk,
       (extract(epoch FROM i.range_start) * 1000000)::bigint AS from_us,
       (extract(epoch FROM i.range_end) * 1000000)::bigint AS to_us,
       c.status,
       quote_ident(k.schema_name) || '.' || quote_ident(k.table_name) AS columnstore
FROM timescaledb_information.chunks i
JOIN _timescaledb_catalog.chunk c ON c.schema_name = i.chunk_schema AND c.table_name = i.chunk_name
LEFT JOIN timescaledb_information.continuous_aggregates a
    ON a.materialization_hypertable_schema = i.hypertable_schema
    AND a.materialization_hypertable_name = i.hypertable_name
LEFT JOIN _timescaledb_catalog.chunk k ON k.id = c.compressed_chunk_id
WHERE coalesce(a.view_schema, i.hypertable_schema) = 'tidegate'
ORDER BY i.range_end, 1, 2
