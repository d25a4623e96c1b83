-- Which of the advisory locks $1 a session holds that may not read the salt of claims, and so has nothing to do with the ledger.
SELECT l.classid::bigint << 32 | l.objid::bigint
FROM pg_locks l
JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (l.classid::bigint << 32 | l.objid::bigint) = ANY ($1)
    AND NOT has_table_privilege(a.usesysid, 'tidegate.claim_salt', 'SELECT')
