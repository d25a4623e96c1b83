-- The reader's statements that take longest on average, of those that ran at least ten times: text, calls, mean in ms.
SELECT regexp_replace(s.query, '\s+', ' ', 'g'), s.calls, s.mean_exec_time
FROM pg_stat_statements s
JOIN pg_roles r ON r.oid = s.userid AND r.rolname = $1
JOIN pg_database d ON d.oid = s.dbid AND d.datname = current_database()
WHERE s.calls >= 10 AND s.mean_exec_time >= $2
ORDER BY s.mean_exec_time DESC
LIMIT 3
