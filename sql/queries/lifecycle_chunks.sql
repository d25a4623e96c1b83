-- The chunks of all hypertables of the schema, those of continuous aggregates under the aggregate's name: relation, chunk, bounds in
-- microseconds since 1970, status bits, and the relation of what is in the columnstore. Oldest first. One that is dropped meanwhile
-- is left out.
--
-- Views and functions, and of the catalogue what has been the same since 2.28: releases rename columns of its chunk table.
SELECT coalesce(a.user_view_name, i.hypertable_name)::text AS relation,
       format('%I.%I', i.chunk_schema, i.chunk_name) AS chunk,
       (extract(epoch FROM i.range_start) * 1000000)::bigint AS from_us,
       (extract(epoch FROM i.range_end) * 1000000)::bigint AS to_us,
       _timescaledb_functions.chunk_status(r.relid) AS status,
       (SELECT format('%I.%I', n.nspname, k.relname) FROM pg_class k JOIN pg_namespace n ON n.oid = k.relnamespace
        WHERE k.oid = s.compress_relid) AS columnstore
FROM timescaledb_information.chunks i
CROSS JOIN LATERAL (SELECT to_regclass(format('%I.%I', i.chunk_schema, i.chunk_name)) AS relid) r
-- Not timescaledb_information.continuous_aggregates: it doubles the time that this takes to plan.
LEFT JOIN (_timescaledb_catalog.continuous_agg a JOIN _timescaledb_catalog.hypertable h ON h.id = a.mat_hypertable_id)
    ON h.schema_name = i.hypertable_schema AND h.table_name = i.hypertable_name
LEFT JOIN _timescaledb_catalog.compression_settings s ON s.relid = r.relid
WHERE coalesce(a.user_view_schema, i.hypertable_schema) = 'tidegate' AND r.relid IS NOT NULL
ORDER BY i.range_end, 1, 2
