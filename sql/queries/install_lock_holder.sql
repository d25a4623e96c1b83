-- The session that installs or migrates: its process and its name.
SELECT a.pid, a.application_name
FROM pg_locks l
JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
    AND (l.classid::bigint << 32 | l.objid::bigint) = hashtextextended('tidegate.install', 0)
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
LIMIT 1
