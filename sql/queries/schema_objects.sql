-- What the schema tidegate is made of: an object or a part of one a row, as (block, part, name, facts), facts being names and values by
-- turns. Read with an empty search_path, so that every name is written with its schema. Partitions and chunks are left out: they
-- are made like their table.
WITH relations AS (
    SELECT c.oid, quote_ident(c.relname) AS block, c.relkind, c.relowner, c.relacl, c.reloptions, c.relpersistence, c.relrowsecurity,
        c.relforcerowsecurity, c.relreplident,
        coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r'::"char" END, c.relowner)) AS acl
    FROM pg_class c
    WHERE c.relnamespace = to_regnamespace('tidegate') AND NOT c.relispartition AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
), functions AS (
    SELECT p.oid, p.proowner, p.prokind, coalesce(p.proacl, acldefault('f', p.proowner)) AS acl,
        quote_ident(p.proname) || '(' || pg_get_function_identity_arguments(p.oid) || ')' AS block
    FROM pg_proc p WHERE p.pronamespace = to_regnamespace('tidegate')
), rights AS (
    SELECT block, NULL::text AS attribute, relowner AS owner, acl FROM relations
    UNION ALL
    SELECT r.block, quote_ident(a.attname), r.relowner, a.attacl
    FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attacl IS NOT NULL AND NOT a.attisdropped
    UNION ALL
    SELECT block, NULL, proowner, acl FROM functions
    UNION ALL
    SELECT 'tidegate', NULL, nspowner, coalesce(nspacl, acldefault('n', nspowner)) FROM pg_namespace WHERE nspname = 'tidegate'
)
SELECT 'tidegate' AS block, 'schema' AS part, '' AS name, ARRAY['owner', nspowner::regrole::text] AS facts
FROM pg_namespace WHERE nspname = 'tidegate'

UNION ALL
SELECT r.block,
    CASE r.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized' WHEN 'f' THEN 'foreign' ELSE 'sequence' END,
    '',
    ARRAY['owner', r.relowner::regrole::text,
        'lacks', (SELECT string_agg(p.privilege, ', ') FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) WITH ORDINALITY p (privilege, n)
            WHERE r.relkind IN ('r', 'p') AND NOT EXISTS (SELECT FROM aclexplode(r.acl) a WHERE a.grantee = r.relowner AND a.privilege_type = p.privilege)),
        'partition', CASE WHEN r.relkind = 'p' THEN pg_get_partkeydef(r.oid) END,
        'persistence', CASE r.relpersistence WHEN 'u' THEN 'unlogged' END,
        'row_security', nullif(concat_ws(', ', CASE WHEN r.relrowsecurity THEN 'enabled' END, CASE WHEN r.relforcerowsecurity THEN 'forced' END), ''),
        'children', (SELECT string_agg(i.inhrelid::regclass::text, ', ' ORDER BY 1) FROM pg_inherits i JOIN pg_class k ON k.oid = i.inhrelid
            WHERE i.inhparent = r.oid AND NOT k.relispartition AND k.relnamespace <> coalesce(to_regnamespace('_timescaledb_internal'), 0)),
        'sequence', (SELECT format('AS %s INCREMENT BY %s MINVALUE %s MAXVALUE %s START WITH %s CACHE %s %s', format_type(s.seqtypid, NULL),
            s.seqincrement, s.seqmin, s.seqmax, s.seqstart, s.seqcache, CASE WHEN s.seqcycle THEN 'CYCLE' ELSE 'NO CYCLE' END)
            FROM pg_sequence s WHERE s.seqrelid = r.oid),
        'of', (SELECT d.refobjid::regclass || '.' || quote_ident(a.attname) FROM pg_depend d JOIN pg_attribute a ON (a.attrelid, a.attnum) = (d.refobjid, d.refobjsubid)
            WHERE d.classid = 'pg_class'::regclass AND d.objid = r.oid AND d.deptype IN ('a', 'i') AND r.relkind = 'S' AND d.refclassid = 'pg_class'::regclass),
        'definition', CASE WHEN r.relkind IN ('v', 'm') THEN pg_get_viewdef(r.oid) END]
FROM relations r

UNION ALL
SELECT r.block, 'option', split_part(o, '=', 1), ARRAY['value', substr(o, strpos(o, '=') + 1)]
FROM relations r, unnest(r.reloptions) o

UNION ALL
SELECT r.block, 'column', quote_ident(a.attname),
    ARRAY['type', format_type(a.atttypid, a.atttypmod),
        'null', CASE WHEN r.relkind IN ('v', 'm') THEN NULL WHEN a.attnotnull THEN 'no' ELSE 'yes' END,
        'collation', CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END,
        'identity', CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END,
        'generated', CASE a.attgenerated WHEN '' THEN NULL WHEN 's' THEN 'stored ' || pg_get_expr(d.adbin, d.adrelid) ELSE 'virtual ' || pg_get_expr(d.adbin, d.adrelid) END,
        'default', CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END]
FROM relations r
JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
WHERE r.relkind <> 'S'

UNION ALL
SELECT r.block, 'index', quote_ident(c.relname),
    ARRAY['definition', replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON '), 'valid', CASE WHEN NOT i.indisvalid OR NOT i.indisready THEN 'no' END,
        'owner', CASE WHEN c.relowner <> r.relowner THEN c.relowner::regrole::text END]
FROM relations r JOIN pg_index i ON i.indrelid = r.oid JOIN pg_class c ON c.oid = i.indexrelid
WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x'))

UNION ALL
SELECT r.block, 'constraint', quote_ident(k.conname),
    ARRAY['definition', regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''),
        'valid', CASE WHEN NOT k.convalidated OR EXISTS (SELECT FROM pg_index i WHERE i.indexrelid = k.conindid AND k.contype IN ('p', 'u', 'x') AND NOT i.indisvalid) THEN 'no' END,
        'enforced', CASE WHEN EXISTS (SELECT FROM pg_trigger t WHERE t.tgconstraint = k.oid AND t.tgenabled IN ('D', 'R')) THEN 'no' END]
FROM relations r JOIN pg_constraint k ON k.conrelid = r.oid AND k.contype IN ('p', 'u', 'x', 'c', 'f')

UNION ALL
SELECT r.block, 'trigger', quote_ident(t.tgname),
    ARRAY['definition', pg_get_triggerdef(t.oid), 'enabled', CASE t.tgenabled WHEN 'O' THEN NULL WHEN 'D' THEN 'no' WHEN 'R' THEN 'replica' ELSE 'always' END]
FROM relations r JOIN pg_trigger t ON t.tgrelid = r.oid AND NOT t.tgisinternal
JOIN pg_proc p ON p.oid = t.tgfoid
WHERE p.pronamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname IN ('_timescaledb_functions', '_timescaledb_internal'))

UNION ALL
SELECT r.block, 'rule', quote_ident(w.rulename), ARRAY['definition', pg_get_ruledef(w.oid), 'enabled', CASE w.ev_enabled WHEN 'O' THEN NULL WHEN 'D' THEN 'no' ELSE 'always' END]
FROM relations r JOIN pg_rewrite w ON w.ev_class = r.oid AND w.rulename <> '_RETURN'

UNION ALL
SELECT r.block, 'policy', quote_ident(p.polname),
    ARRAY['command', CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
        'as', CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END,
        'to', (SELECT string_agg(CASE WHEN o = 0 THEN 'PUBLIC' ELSE o::regrole::text END, ', ' ORDER BY 1) FROM unnest(p.polroles) o),
        'using', pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid)]
FROM relations r JOIN pg_policy p ON p.polrelid = r.oid

UNION ALL
SELECT f.block, CASE f.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate_function' ELSE 'function' END, '',
    ARRAY['owner', f.proowner::regrole::text, 'definition', CASE WHEN f.prokind <> 'a' THEN pg_get_functiondef(f.oid) ELSE
        (SELECT format('CREATE OR REPLACE AGGREGATE tidegate.%s(%s) (SFUNC = %s, STYPE = %s%s%s, PARALLEL = %s)', quote_ident(p.proname), pg_get_function_arguments(p.oid),
            g.aggtransfn::regproc, format_type(g.aggtranstype, NULL), coalesce(', COMBINEFUNC = ' || nullif(g.aggcombinefn, 0)::regproc, '') || coalesce(', FINALFUNC = ' || nullif(g.aggfinalfn, 0)::regproc, ''), ', INITCOND = ' || quote_literal(g.agginitval),
            CASE p.proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' ELSE 'unsafe' END)
         FROM pg_aggregate g JOIN pg_proc p ON p.oid = g.aggfnoid WHERE p.oid = f.oid) END]
FROM functions f

UNION ALL
SELECT g.block, 'grant',
    CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END || coalesce(' on ' || g.attribute, ''),
    ARRAY['privileges', string_agg(DISTINCT x.privilege_type, ', ' ORDER BY x.privilege_type),
        'grantable', string_agg(DISTINCT x.privilege_type, ', ' ORDER BY x.privilege_type) FILTER (WHERE x.is_grantable)]
FROM rights g, aclexplode(g.acl) x
WHERE x.grantee <> g.owner
GROUP BY g.block, g.attribute, x.grantee

UNION ALL
-- What new tables are granted, here or everywhere; not what a server gives to everybody by itself.
SELECT 'tidegate', 'default_grant',
    CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES' ELSE 'SCHEMAS' END
        || ' of ' || d.defaclrole::regrole || ' to ' || CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END
        || CASE WHEN d.defaclnamespace = 0 THEN ' everywhere' ELSE '' END,
    ARRAY['privileges', string_agg(x.privilege_type, ', ' ORDER BY x.privilege_type)]
FROM pg_default_acl d, aclexplode(d.defaclacl) x
WHERE (d.defaclnamespace = to_regnamespace('tidegate')
        OR d.defaclnamespace = 0 AND d.defaclrole = (SELECT nspowner FROM pg_namespace WHERE nspname = 'tidegate') AND (x.grantee <> 0 OR d.defaclobjtype NOT IN ('f', 'T')))
    AND x.grantee <> d.defaclrole
GROUP BY d.defaclobjtype, d.defaclrole, d.defaclnamespace, x.grantee

UNION ALL
-- Rows are read past a table where its partitions and chunks are granted to more than it is itself.
SELECT r.block, 'partition_grant', c.oid::regclass || ' to ' || CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END,
    ARRAY['privileges', string_agg(x.privilege_type, ', ' ORDER BY x.privilege_type)]
FROM relations r JOIN pg_inherits i ON i.inhparent = r.oid JOIN pg_class c ON c.oid = i.inhrelid, aclexplode(c.relacl) x
WHERE x.grantee <> c.relowner
  AND NOT EXISTS (SELECT FROM aclexplode(r.acl) y WHERE y.grantee = x.grantee AND y.privilege_type = x.privilege_type)
GROUP BY r.block, c.oid, x.grantee

UNION ALL
-- Types that no table brings with it, and the array types of none.
SELECT quote_ident(t.typname), 'type', '', ARRAY['owner', t.typowner::regrole::text, 'definition', CASE t.typtype WHEN 'd' THEN format_type(t.typbasetype, t.typtypmod)
    WHEN 'e' THEN (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid) END]
FROM pg_type t
WHERE t.typnamespace = to_regnamespace('tidegate') AND t.typtype IN ('d', 'e', 'r', 'c')
  AND (t.typtype <> 'c' OR EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
