-- How the hypertables that ingestion writes are cut into chunks: the width of the narrowest chunk that there is or will be, in
-- microseconds (the interval may have been another when a chunk was made), and the number of partitions in space.
SELECT d.hypertable_name::text,
       (least(min(extract(epoch FROM d.time_interval)),
              (SELECT min(extract(epoch FROM c.range_end - c.range_start)) FROM timescaledb_information.chunks c
               WHERE c.hypertable_schema = 'tidegate' AND c.hypertable_name = d.hypertable_name)) * 1000000)::bigint,
       coalesce(max(d.num_partitions), 1)::integer
FROM timescaledb_information.dimensions d
WHERE d.hypertable_schema = 'tidegate' AND d.hypertable_name IN ('events', 'metrics')
GROUP BY d.hypertable_name
