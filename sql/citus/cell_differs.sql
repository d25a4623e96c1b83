-- What of a cell is other than sql/citus/cell.sql makes it, with the same settings: what, and how it differs. Reads the catalogue with an
-- empty search_path, and changes nothing.
WITH cell AS MATERIALIZED (
    SELECT current_setting('tidegate.cell') AS name, to_regnamespace(current_setting('tidegate.cell')) AS oid,
        current_setting('tidegate.parts')::jsonb AS parts, current_setting('tidegate.first_hash') AS first_hash
), relations AS MATERIALIZED (
    SELECT d.logicalrelid AS oid, CASE c.relname WHEN 'cell_organizations' THEN 'organizations' ELSE c.relname::text END AS name, c.relname,
        c.relkind, c.relacl, c.relowner, d.partmethod = 'h' AS hashed, s.shardid,
        to_regclass(format('tidegate.%I', c.relname || '_' || s.shardid)) AS shard
    FROM cell, pg_dist_partition d JOIN pg_class c ON c.oid = d.logicalrelid JOIN pg_dist_shard s ON s.logicalrelid = d.logicalrelid
    WHERE c.relnamespace = 'tidegate'::regnamespace AND NOT c.relispartition AND (d.partmethod = 'n' OR s.shardminvalue = cell.first_hash)
), views AS MATERIALIZED (
    SELECT v.oid, v.relname::text AS name, v.relkind, v.relacl, v.relowner FROM cell JOIN pg_class v ON v.relnamespace = cell.oid
), columns AS (
    SELECT r.oid, string_agg(a.attname, ', ' ORDER BY a.attnum) || CASE WHEN r.hashed AND r.relkind = 'r' THEN ', ctid' ELSE '' END AS names
    FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> 'cell'
    GROUP BY r.oid, r.hashed, r.relkind
), own_tables AS (
    SELECT key AS name FROM cell, jsonb_object_keys(current_setting('tidegate.tables')::jsonb) AS key
), sequences AS (
    SELECT unnest(ARRAY['ingest_batch_id', 'consumer_lease_numbers']) AS name
    UNION ALL
    SELECT r.name || '_' || a.attname || '_seq' FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND a.attidentity <> ''
    WHERE r.hashed
), functions AS MATERIALIZED (
    SELECT p.oid, p.proname::text AS name, pg_get_function_identity_arguments(p.oid) AS arguments, p.proacl
    FROM cell, pg_proc p WHERE p.pronamespace = 'tidegate'::regnamespace AND cell.parts -> 'functions' ? p.proname::text
), readers AS MATERIALIZED (
    SELECT v.oid, v.relname::text AS name FROM pg_class v
    WHERE v.relnamespace = 'tidegate'::regnamespace AND v.relkind = 'v' AND v.relname <> 'tenant_usage'
), known AS (
    -- What text of tidegate means of the cell.
    SELECT string_agg(name, '|') AS names FROM (
        SELECT name FROM relations UNION SELECT name FROM own_tables UNION SELECT name FROM sequences UNION SELECT name FROM readers
        UNION SELECT name FROM functions UNION SELECT relname FROM pg_class WHERE relnamespace = 'tidegate'::regnamespace AND relkind = 'v') n
), grants AS (
    -- Of views, what their relation or view of tidegate is granted.
    SELECT r.name, x.grantee, x.privilege_type AS privilege, '' AS attribute FROM relations r, aclexplode(r.relacl) x
    WHERE x.grantee NOT IN (r.relowner, 0) AND x.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
    UNION
    SELECT v.name, x.grantee, 'SELECT', '' FROM readers v JOIN pg_class c ON c.oid = v.oid, aclexplode(c.relacl) x
    WHERE x.grantee NOT IN (c.relowner, 0) AND x.privilege_type = 'SELECT'
    UNION
    SELECT r.name, x.grantee, x.privilege_type, a.attname::text FROM relations r
    JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0, aclexplode(a.attacl) x
    UNION
    SELECT t.name, 'tidegate_reader'::regrole, 'SELECT', '' FROM own_tables t
), granted AS (
    SELECT v.name, x.grantee, x.privilege_type AS privilege, '' AS attribute FROM views v, aclexplode(v.relacl) x
    WHERE v.relkind <> 'S' AND x.grantee <> v.relowner
    UNION
    SELECT v.name, x.grantee, x.privilege_type, a.attname::text FROM views v JOIN pg_attribute a ON a.attrelid = v.oid AND a.attnum > 0, aclexplode(a.attacl) x
), differs (what, how) AS (
    SELECT 'schema ' || cell.name, 'is missing' FROM cell WHERE cell.oid IS NULL
    UNION ALL
    SELECT 'schema ' || cell.name, 'was made by another version, of other shards, or by hand'
    FROM cell JOIN relations r ON r.relname = 'ingest_ledger'
    WHERE cell.oid IS NOT NULL AND obj_description(cell.oid, 'pg_namespace') IS DISTINCT FROM current_setting('tidegate.mark') || ', shard ' || r.shard::oid
    UNION ALL
    SELECT 'schema ' || cell.name, format('%s may not look into it', role) FROM cell, unnest(ARRAY['tidegate_writer', 'tidegate_reader']) role
    WHERE cell.oid IS NOT NULL AND to_regrole(role) IS NOT NULL AND NOT has_schema_privilege(role, cell.oid, 'USAGE')
    UNION ALL
    SELECT 'table ' || r.relname, format('its shard %s is not on this server', r.shardid) FROM relations r WHERE r.shard IS NULL
    UNION ALL
    SELECT 'view ' || r.name, CASE WHEN v.oid IS NULL THEN 'is missing' WHEN v.relkind <> 'v' THEN 'is no view'
        WHEN c.names IS DISTINCT FROM there.names THEN format('has the columns %s instead of %s', there.names, c.names)
        ELSE format('is not of the shard %s', r.shard) END
    FROM relations r JOIN columns c ON c.oid = r.oid LEFT JOIN views v ON v.name = r.name
    LEFT JOIN LATERAL (SELECT string_agg(a.attname, ', ' ORDER BY a.attnum) AS names FROM pg_attribute a WHERE a.attrelid = v.oid AND a.attnum > 0) there ON true
    WHERE v.oid IS NULL OR v.relkind <> 'v' OR c.names IS DISTINCT FROM there.names
        OR NOT EXISTS (SELECT FROM pg_rewrite w JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
                       WHERE w.ev_class = v.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = r.shard)
    UNION ALL
    SELECT 'view ' || r.name, CASE WHEN v.oid IS NULL THEN 'is missing' ELSE 'is defined otherwise than in the schema tidegate' END
    FROM cell, known, readers r LEFT JOIN views v ON v.name = r.name
    WHERE v.oid IS NULL OR pg_get_viewdef(v.oid) <> regexp_replace(pg_get_viewdef(r.oid), format('\mtidegate\.(%s)\M', known.names), cell.name || '.\1', 'g')
    UNION ALL
    SELECT format('function %s(%s)', f.name, f.arguments), CASE WHEN p.oid IS NULL THEN 'is missing' ELSE 'is defined otherwise than in the schema tidegate' END
    FROM cell CROSS JOIN known CROSS JOIN functions f
    LEFT JOIN pg_proc p ON p.pronamespace = cell.oid AND p.proname = f.name AND pg_get_function_identity_arguments(p.oid) = f.arguments
    WHERE p.oid IS NULL OR pg_get_functiondef(p.oid) <> regexp_replace(regexp_replace(replace(regexp_replace(pg_get_functiondef(f.oid),
        format('\mtidegate\.(%s)\M', known.names), cell.name || '.\1', 'g'), 'TABLE tidegate.%I', format('TABLE %s.%%I', cell.name)),
        'SET search_path TO ''tidegate''', format('SET search_path TO %L', cell.name)),
        format('(?<![.\w])(%s)(?=\()', (SELECT string_agg(pure, '|') FROM jsonb_array_elements_text(cell.parts -> 'pure') pure)), 'tidegate.\1', 'g')
    UNION ALL
    SELECT format('function %s(%s)', f.name, f.arguments), format('%s may not call it', x.grantee::regrole)
    FROM cell JOIN functions f ON true CROSS JOIN LATERAL aclexplode(f.proacl) x
    JOIN pg_proc p ON p.pronamespace = cell.oid AND p.proname = f.name AND pg_get_function_identity_arguments(p.oid) = f.arguments
    WHERE x.grantee <> 0 AND NOT has_function_privilege(x.grantee, p.oid, 'EXECUTE')
    UNION ALL
    SELECT 'table ' || t.name, 'is missing' FROM own_tables t LEFT JOIN views v ON v.name = t.name WHERE v.relkind IS DISTINCT FROM 'r'
    UNION ALL
    SELECT 'sequence ' || s.name, CASE WHEN v.relkind IS DISTINCT FROM 'S' THEN 'is missing'
        ELSE format('counts by %s: nodes would draw the same numbers', q.seqincrement) END
    FROM sequences s LEFT JOIN views v ON v.name = s.name LEFT JOIN pg_sequence q ON q.seqrelid = v.oid
    WHERE v.relkind IS DISTINCT FROM 'S' OR q.seqincrement <> CASE s.name WHEN 'ingest_batch_id' THEN 1024 ELSE 1 END
    UNION ALL
    SELECT 'trigger hold_shard of ' || r.shard, CASE WHEN t.oid IS NULL THEN 'is missing: what is written while the shard is moved would be lost'
        WHEN t.tgenabled <> 'O' THEN 'is switched off' ELSE 'is defined otherwise' END
    FROM relations r LEFT JOIN pg_trigger t ON t.tgrelid = r.shard AND t.tgname = 'hold_shard'
    WHERE r.hashed AND r.shard IS NOT NULL AND (t.oid IS NULL OR t.tgenabled <> 'O' OR t.tgfoid <> 'tidegate.hold_shard'::regproc
        OR t.tgtype <> 30 OR t.tgargs <> convert_to(r.shardid::text, 'UTF8') || '\x00'::bytea
            || convert_to((SELECT name FROM cell), 'UTF8') || '\x00'::bytea)
    UNION ALL
    SELECT 'index ' || k.name || ' of ' || r.shard, CASE WHEN i.oid IS NULL THEN 'is missing' ELSE 'is not unique, or not valid' END
    FROM cell, relations r CROSS JOIN LATERAL (
        SELECT format('%s_key%s_%s', r.relname, nullif(n, 1), r.shardid) AS name
        FROM jsonb_array_elements_text((current_setting('tidegate.parts')::jsonb) -> 'unique' -> r.relname::text) WITH ORDINALITY AS u (definition, n)
    ) k LEFT JOIN pg_class i ON i.relname = k.name AND i.relnamespace = 'tidegate'::regnamespace
    LEFT JOIN pg_index x ON x.indexrelid = i.oid
    WHERE r.shard IS NOT NULL AND (i.oid IS NULL OR x.indrelid <> r.shard OR NOT x.indisunique OR NOT x.indisvalid)
    UNION ALL
    SELECT format('constraint %s_of_%s of %s', f.value ->> 'of', r.shardid, r.shard), 'is missing'
    FROM cell, jsonb_array_elements(cell.parts -> 'references') f JOIN relations r ON r.relname = f.value ->> 'from'
    WHERE r.shard IS NOT NULL AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = r.shard AND k.contype = 'f' AND k.convalidated
        AND k.conname = format('%s_of_%s', f.value ->> 'of', r.shardid))
    UNION ALL
    SELECT 'table ' || r.shard, 'has row-level security, which neither a move nor the copy to a worker is written past'
    FROM relations r JOIN pg_class c ON c.oid = r.shard WHERE c.relrowsecurity OR c.relforcerowsecurity
    UNION ALL
    SELECT format('grant to %s on %s%s', g.grantee::regrole, g.name, coalesce('.' || nullif(g.attribute, ''), '')), 'is missing: ' || string_agg(g.privilege, ', ' ORDER BY 1)
    FROM (SELECT * FROM grants EXCEPT SELECT * FROM granted) g JOIN views v ON v.name = g.name GROUP BY g.grantee, g.name, g.attribute
    UNION ALL
    SELECT format('grant to %s on %s%s', CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END, g.name,
        coalesce('.' || nullif(g.attribute, ''), '')), 'is not of this version: ' || string_agg(g.privilege, ', ' ORDER BY 1)
    FROM (SELECT * FROM granted EXCEPT SELECT * FROM grants) g GROUP BY g.grantee, g.name, g.attribute
)
SELECT what, how FROM differs WHERE how IS NOT NULL ORDER BY what, how
