-- What keeps a role from being dropped: what it owns, and what was granted to it, in every database of the cluster. Objects
-- have names only in the database that they are in; those without a database (databases, tablespaces) are shared by all.
SELECT coalesce(d.datname, ''),
       count(*),
       array_agg(coalesce(pg_describe_object(s.classid, s.objid, s.objsubid), '?') ORDER BY s.classid, s.objid)
           FILTER (WHERE s.dbid = 0 OR d.datname = current_database())
FROM pg_shdepend s
LEFT JOIN pg_database d ON d.oid = s.dbid
WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = (SELECT oid FROM pg_roles WHERE rolname = $1)
GROUP BY d.datname
ORDER BY d.datname NULLS FIRST
