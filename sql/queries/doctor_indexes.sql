-- Indexes that nobody has read from since statistics were reset, those of a relation's chunks or partitions taken together: index,
-- bytes, days since. Those that keep a rule are not for reading.
SELECT t.name, sum(t.bytes)::bigint, t.days
FROM (
    SELECT coalesce(pi.relname, regexp_replace(i.relname, '^_hyper_\d+_\d+_chunk_', ''))::text AS name,
           pg_relation_size(i.oid) AS bytes, s.idx_scan,
           (SELECT coalesce(extract(epoch FROM now() - stats_reset), extract(epoch FROM now() - pg_postmaster_start_time()))
            FROM pg_stat_database WHERE datname = current_database())::float8 / 86400 AS days
    FROM pg_stat_user_indexes s
    JOIN pg_class i ON i.oid = s.indexrelid
    JOIN pg_index x ON x.indexrelid = i.oid AND NOT x.indisunique
    LEFT JOIN pg_inherits h ON h.inhrelid = i.oid
    LEFT JOIN pg_class pi ON pi.oid = h.inhparent
    WHERE s.schemaname IN ('tidegate', '_timescaledb_internal') AND s.relname !~ '^(compress_hyper_|_hyper_\d+_\d+_chunk_compressed$)'
) t
GROUP BY t.name, t.days
HAVING sum(t.idx_scan) = 0 AND sum(t.bytes) >= $1::bigint
ORDER BY 2 DESC
LIMIT 5
