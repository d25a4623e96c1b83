-- The views of tenants' readers that are not as they should be: each by its name, and the statement that makes it. Each relation that people read
-- (sql/queries/people_grants.sql) has one, with the same columns, of the rows of the tenant. A relation of which it cannot be said
-- whose rows are whose has none. What a view was made by is its comment.
WITH relation AS (
    SELECT c.oid, c.relname, c.relkind, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) AS columns,
           bool_or(a.attname = 'tenant_id') AS of_tenants
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_roles people ON people.rolname = 'tidegate_people'
    WHERE c.relnamespace = 'tidegate'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
      -- What the views among them read.
      AND c.relname NOT LIKE '%\_closed' AND c.relname NOT LIKE 'metrics\_%\_buckets'
      AND has_column_privilege(people.oid, c.oid, a.attnum, 'SELECT')
    GROUP BY c.oid, c.relname, c.relkind
), wanted AS (
    SELECT o.org_id, tidegate.reader_schema(o.org_id) AS schema, r.relname AS name,
           format('SELECT %s FROM tidegate.%I%s%s', r.columns, r.relname, CASE
               WHEN r.of_tenants THEN format(' WHERE tenant_id = tidegate.tenant_of(%L)', o.org_id)
               WHEN r.relname = 'api_keys' THEN format(' WHERE org_id = %L', o.org_id)
               ELSE '' END,
               -- The planner looks for no order inside such a view, so that a list of the newest would sort all of them. Partitions have
               -- an index in this order, and cost nothing by it.
               CASE WHEN r.relname = 'events' AND r.relkind = 'p' THEN ' ORDER BY timestamp DESC' ELSE '' END) AS query
    FROM (SELECT DISTINCT org_id FROM tidegate.reader_logins) o
    CROSS JOIN relation r
    -- Levels are the same for everybody.
    WHERE r.of_tenants OR r.relname IN ('api_keys', 'rollup_levels')
)
SELECT format('%I.%I', w.schema, w.name),
       format('CREATE OR REPLACE VIEW %1$I.%2$I WITH (security_barrier = true) AS %3$s; COMMENT ON VIEW %1$I.%2$I IS %4$L',
           w.schema, w.name, w.query, md5(w.query))
FROM wanted w
LEFT JOIN pg_class v ON v.relnamespace = to_regnamespace(w.schema) AND v.relname = w.name
WHERE v.oid IS NULL
   OR obj_description(v.oid, 'pg_class') IS DISTINCT FROM md5(w.query)
   OR NOT coalesce('security_barrier=true' = ANY (v.reloptions), false)
   OR (SELECT array_agg(a.attname || format_type(a.atttypid, a.atttypmod) ORDER BY a.attname) FROM pg_attribute a
       WHERE a.attrelid = v.oid AND a.attnum > 0)
      IS DISTINCT FROM
      (SELECT array_agg(a.attname || format_type(a.atttypid, a.atttypmod) ORDER BY a.attname)
       FROM pg_attribute a JOIN relation r ON a.attrelid = r.oid AND r.relname = w.name
       JOIN pg_roles people ON people.rolname = 'tidegate_people'
       WHERE a.attnum > 0 AND NOT a.attisdropped AND has_column_privilege(people.oid, r.oid, a.attnum, 'SELECT'))
ORDER BY w.schema, w.name
