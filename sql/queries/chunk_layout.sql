-- How the hypertable $1, whose dimension in space is $2, is cut into chunks: the width and the number of partitions that new
-- ones get, and the bounds of those that overlap with a span from $3 to $4 (microseconds since 1970). One row without bounds
-- where there is none.
SELECT d.interval_us, d.partitions,
       (c.slices -> 'timestamp' ->> 0)::bigint AS from_us, (c.slices -> 'timestamp' ->> 1)::bigint AS to_us,
       (c.slices -> $2::text ->> 0)::bigint AS space_from, (c.slices -> $2::text ->> 1)::bigint AS space_to
FROM (
    SELECT (max(extract(epoch FROM time_interval)) * 1000000)::bigint AS interval_us,
           coalesce(max(num_partitions), 1)::integer AS partitions
    FROM timescaledb_information.dimensions
    WHERE hypertable_schema = 'tidegate' AND hypertable_name = $1
    HAVING count(*) > 0
) d
LEFT JOIN LATERAL (
    SELECT s.slices
    FROM timescaledb_information.chunks i
    CROSS JOIN LATERAL to_regclass(format('%I.%I', i.chunk_schema, i.chunk_name)) AS r (relid)
    CROSS JOIN LATERAL _timescaledb_functions.show_chunk(r.relid) AS s
    WHERE i.hypertable_schema = 'tidegate' AND i.hypertable_name = $1 AND r.relid IS NOT NULL
      AND EXISTS (
          SELECT FROM unnest($3::bigint[], $4::bigint[]) AS span (from_us, to_us)
          WHERE i.range_end > to_timestamp(span.from_us / 1e6) AND i.range_start < to_timestamp(span.to_us / 1e6))
) c ON true
ORDER BY 3, 5
