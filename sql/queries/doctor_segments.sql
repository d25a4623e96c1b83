-- The chunk whose columnstore has the most segments, and about how many, as the newest VACUUM or ANALYZE of it counted. No row where
-- no chunk is in a columnstore, or none was counted.
SELECT s.relid::text AS chunk, k.reltuples::float8 AS segments
FROM _timescaledb_catalog.compression_settings s
JOIN pg_inherits i ON i.inhrelid = s.relid
JOIN pg_class k ON k.oid = s.compress_relid
WHERE i.inhparent IN (to_regclass('tidegate.events'), to_regclass('tidegate.metrics')) AND k.reltuples > 0
ORDER BY k.reltuples DESC
LIMIT 1
