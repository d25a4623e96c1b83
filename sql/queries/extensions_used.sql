-- The extensions of this database, and of each whether something that is not its own is made of what it has: a relation's column
-- or index, a function. What nothing uses can be left behind.
SELECT e.extname::text, e.extversion, e.extname = 'timescaledb' OR EXISTS (
    SELECT FROM pg_depend member
    JOIN pg_depend used ON used.refclassid = member.classid AND used.refobjid = member.objid AND used.deptype IN ('n', 'a')
    WHERE member.refclassid = 'pg_extension'::regclass AND member.refobjid = e.oid AND member.deptype = 'e'
      AND used.classid IN ('pg_class'::regclass, 'pg_proc'::regclass)
      AND NOT EXISTS (SELECT FROM pg_depend own
                      WHERE own.classid = used.classid AND own.objid = used.objid AND own.deptype = 'e')) AS is_used
FROM pg_extension e ORDER BY 1
