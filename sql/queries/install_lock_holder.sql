-- The session that installs or migrates: its process and its name.
SELECT a.pid, a.application_name
FROM pg_locks l
JOIN pg_stat_activity a USING (pid)
WHERE l.relation = 'tidegate.lock_install'::regclass AND l.mode = 'ExclusiveLock' AND l.granted
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
LIMIT 1
