-- What is known of rows before they were compressed: of chunks that were written as rows. Those that were born in the columnstore
-- have never been anything else.
SELECT h.relation::text, s.before_compression_total_bytes, s.after_compression_total_bytes
FROM (
    SELECT hypertable_name AS relation, format('%I.%I', hypertable_schema, hypertable_name)::regclass AS relid
    FROM timescaledb_information.hypertables
    WHERE hypertable_schema = 'tidegate' AND compression_enabled
    UNION ALL
    SELECT coalesce(l.level, view_name),
        format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)::regclass
    FROM timescaledb_information.continuous_aggregates
    LEFT JOIN rollup_levels l ON view_name IN (l.level, l.level || '_buckets')
    WHERE view_schema = 'tidegate' AND compression_enabled
) h
CROSS JOIN LATERAL public.hypertable_columnstore_stats(h.relid) s
WHERE s.before_compression_total_bytes IS NOT NULL
