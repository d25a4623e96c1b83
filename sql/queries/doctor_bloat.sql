-- Tables that hold more dead rows than vacuum should leave: a fifth of their rows and at least 10,000.
SELECT format('%I.%I', schemaname, relname), n_dead_tup, n_live_tup, last_autovacuum::text
FROM pg_stat_user_tables
WHERE (schemaname = 'tidegate' OR schemaname = '_timescaledb_internal')
  AND n_dead_tup >= 10000 AND n_dead_tup * 4 > n_live_tup
ORDER BY n_dead_tup DESC
LIMIT 5
