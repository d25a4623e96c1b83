-- What TimescaleDB knows of the schema tidegate, in the form of schema_objects.sql.
WITH hypertables AS (
    SELECT h.hypertable_name AS name, h.hypertable_schema, h.hypertable_name, false AS aggregate
    FROM timescaledb_information.hypertables h WHERE h.hypertable_schema = 'tidegate'
    UNION ALL
    SELECT a.view_name, a.materialization_hypertable_schema, a.materialization_hypertable_name, true
    FROM timescaledb_information.continuous_aggregates a WHERE a.view_schema = 'tidegate'
)
SELECT quote_ident(a.view_name) AS block, 'aggregate' AS part, '' AS name,
    ARRAY['owner', quote_ident(a.view_owner), 'of', quote_ident(a.hypertable_name), 'materialized_only', a.materialized_only::text, 'definition', a.view_definition] AS facts
FROM timescaledb_information.continuous_aggregates a WHERE a.view_schema = 'tidegate'

UNION ALL
SELECT quote_ident(h.name), 'dimension', quote_ident(d.column_name),
    ARRAY['seconds', extract(epoch FROM d.time_interval)::bigint::text, 'partitions', d.num_partitions::text]
FROM hypertables h JOIN timescaledb_information.dimensions d USING (hypertable_schema, hypertable_name)

UNION ALL
SELECT quote_ident(h.name), 'columnstore', 'settings',
    ARRAY['segmentby', s.segmentby, 'orderby', s.orderby, 'interval', s.compress_interval_length,
        'sparse_index', (SELECT string_agg(format('%s(%s)', x ->> 'type', x ->> 'column'), ', ' ORDER BY x ->> 'type', x ->> 'column')
            FROM jsonb_array_elements(s.index::jsonb) x WHERE x ->> 'source' = 'config')]
FROM hypertables h JOIN timescaledb_information.hypertable_columnstore_settings s
  ON s.hypertable = format('%I.%I', h.hypertable_schema, h.hypertable_name)::regclass
WHERE s.segmentby IS NOT NULL OR s.orderby IS NOT NULL

UNION ALL
-- Of the numbered table below an aggregate, under the aggregate's name.
SELECT quote_ident(h.name), 'index', replace(quote_ident(c.relname), h.hypertable_name, h.name),
    ARRAY['definition', replace(replace(pg_get_indexdef(i.indexrelid), format('%I.%I', h.hypertable_schema, h.hypertable_name), 'tidegate.' || quote_ident(h.name)), h.hypertable_name, h.name),
        'valid', CASE WHEN NOT i.indisvalid OR NOT i.indisready THEN 'no' END]
FROM hypertables h JOIN pg_index i ON i.indrelid = format('%I.%I', h.hypertable_schema, h.hypertable_name)::regclass
JOIN pg_class c ON c.oid = i.indexrelid
WHERE h.aggregate

UNION ALL
-- What refreshes the aggregates is the program's own, which makes and removes it.
SELECT quote_ident(h.name), 'job', quote_ident(j.proc_name),
    ARRAY['schedule', j.schedule_interval::text, 'config', (j.config - 'mat_hypertable_id' - 'hypertable_id')::text]
FROM hypertables h JOIN timescaledb_information.jobs j USING (hypertable_schema, hypertable_name)
WHERE j.proc_name <> 'policy_refresh_continuous_aggregate'

UNION ALL
-- What is below hypertables and aggregates, to somebody whom nothing in the schema is granted to so. Chunks of the schema's own tables are
-- compared with these (schema_objects.sql).
SELECT 'tidegate', 'partition_grant', c.oid::regclass || ' to ' || CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END,
    ARRAY['privileges', string_agg(x.privilege_type, ', ' ORDER BY x.privilege_type)]
FROM pg_class c JOIN pg_namespace n ON n.nspname = 'tidegate', aclexplode(c.relacl) x
WHERE c.relnamespace = to_regnamespace('_timescaledb_internal') AND c.relowner = n.nspowner AND x.grantee <> c.relowner
  AND NOT EXISTS (SELECT FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent WHERE i.inhrelid = c.oid AND p.relnamespace = n.oid)
  AND NOT EXISTS (SELECT FROM pg_class r, aclexplode(r.relacl) y WHERE r.relnamespace = n.oid AND y.grantee = x.grantee AND y.privilege_type = x.privilege_type)
GROUP BY c.oid, x.grantee
