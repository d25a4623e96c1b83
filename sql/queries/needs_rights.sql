-- What the role $1 was granted in the schema, and the connecting role has not: by membership or by grants of its own. Partitions
-- and chunks are reached through their parents.
WITH granted AS (
    SELECT c.oid, c.relkind, c.relname, NULL::text AS attname, g.privilege_type
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'tidegate',
        aclexplode(c.relacl) g JOIN pg_roles r ON r.oid = g.grantee AND r.rolname = $1
    WHERE NOT c.relispartition
    UNION ALL
    SELECT c.oid, c.relkind, c.relname, a.attname::text, g.privilege_type
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'tidegate'
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped,
        aclexplode(a.attacl) g JOIN pg_roles r ON r.oid = g.grantee AND r.rolname = $1
    WHERE NOT c.relispartition
)
SELECT DISTINCT privilege_type || ' on ' || relname
FROM granted
WHERE NOT CASE
    WHEN attname IS NOT NULL THEN has_column_privilege(oid, attname, privilege_type)
    WHEN relkind = 'S' THEN has_sequence_privilege(oid, privilege_type)
    ELSE has_table_privilege(oid, privilege_type)
END
UNION ALL
SELECT 'USAGE on schema tidegate' WHERE NOT has_schema_privilege('tidegate', 'USAGE')
ORDER BY 1
