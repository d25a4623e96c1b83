-- The same of hypertables, rollups' behind what they are made of: each with its name, and the ranges of time of its chunks. Rows are deleted
-- by ranges, since those of a compressed chunk have no place of their own.
SELECT q.name, q.piece, q.whose
FROM (
    SELECT DISTINCT a.user_view_name IS NOT NULL AS is_made, coalesce(a.user_view_name, h.table_name)::text AS name,
           format('%I.%I', h.schema_name, h.table_name) AS piece,
           format('tenant_id = $1 AND %1$I >= %2$L AND %1$I < %3$L', c.primary_dimension, c.range_start, c.range_end) AS whose
    FROM timescaledb_information.chunks c
    JOIN _timescaledb_catalog.hypertable h ON h.schema_name = c.hypertable_schema AND h.table_name = c.hypertable_name
    LEFT JOIN _timescaledb_catalog.continuous_agg a ON a.mat_hypertable_id = h.id
    WHERE h.schema_name = 'tidegate' OR a.user_view_schema = 'tidegate'
) q
ORDER BY q.is_made, q.name, q.whose
