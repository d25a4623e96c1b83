-- Makes a cell on the node that has its shards: a schema in which every relation, view and function that knows relations has its
-- own name, over the shards of one range of hashes. What runs with it first on its search_path works on these tenants alone, on
-- tables of one node: every statement of PostgreSQL works, in transactions of one phase, by snapshots and numbers of that node.
--
-- Settings: tidegate.cell (its name), tidegate.first_hash, tidegate.parts (sql/citus/parts.json), tidegate.tables (tables that are its
-- own and are left behind when it moves: what jobs lock, and how they went; an object of names and columns), tidegate.mark (what it is made of; where that is as before nothing is done).
DO $cell$
DECLARE
    cell CONSTANT text := current_setting('tidegate.cell');
    mark text;
    parts CONSTANT jsonb := current_setting('tidegate.parts')::jsonb;
    -- Functions that read or write relations of a cell.
    working CONSTANT text[] := ARRAY(SELECT jsonb_array_elements_text(parts -> 'functions'));
    -- Functions that know no relation, and are not the cell's: not even by accident does anything in it find a relation of all cells.
    pure CONSTANT text[] := ARRAY(SELECT jsonb_array_elements_text(parts -> 'pure'));
    -- What Citus cannot keep of relations that are of a cell: what is unique there, and what refers to what.
    keys CONSTANT jsonb := parts -> 'unique';
    relation record;
    item record;
    names text;
    columns text;
    made text;
    shard text;
    waiting text[];
    pass int := 0;
BEGIN
    SELECT format('tidegate.%I', 'ingest_ledger_' || shardid) INTO shard FROM pg_dist_shard
        WHERE logicalrelid = 'tidegate.ingest_ledger'::regclass AND shardminvalue = current_setting('tidegate.first_hash');
    -- Where the cell comes back to a node that had it, its shards are others.
    mark := current_setting('tidegate.mark') || ', shard ' || shard::regclass::oid;
    IF obj_description(to_regnamespace(cell), 'pg_namespace') = mark THEN
        RETURN;
    END IF;
    -- No job of the cell before is at work: its run would wait for this, and this for the lock that another session has for it.
    FOR item IN SELECT relname FROM pg_class
        WHERE relnamespace = to_regnamespace(cell) AND relkind = 'r' AND relname LIKE 'lock\_%' ORDER BY relname LOOP
        EXECUTE format('LOCK TABLE %I.%I IN EXCLUSIVE MODE', cell, item.relname);
    END LOOP;
    -- One at a time, and no writer between the cell before and this one.
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', shard);
    IF obj_description(to_regnamespace(cell), 'pg_namespace') = mark THEN
        RETURN;
    END IF;
    -- The cell before is put aside, which waits for nobody, and is dropped afterwards: who drops it here waits for writers that have read
    -- in it, and these for the ledger.
    IF to_regnamespace(cell) IS NOT NULL THEN
        EXECUTE format('ALTER SCHEMA %I RENAME TO %I', cell,
            format('%s_%s', replace(cell, 'tidegate_cell_', 'tidegate_left_'), (extract(epoch FROM clock_timestamp()) * 1000)::bigint));
    END IF;
    EXECUTE format('CREATE SCHEMA %I', cell);
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO tidegate_writer, tidegate_reader', cell);

    FOR relation IN SELECT d.logicalrelid AS oid, CASE c.relname WHEN 'cell_organizations' THEN 'organizations' ELSE c.relname END AS relname, c.relacl, c.relowner, d.partmethod, s.shardid,
            format('tidegate.%I', c.relname || '_' || s.shardid) AS shard
        FROM pg_dist_partition d JOIN pg_class c ON c.oid = d.logicalrelid JOIN pg_dist_shard s ON s.logicalrelid = d.logicalrelid
        WHERE c.relnamespace = 'tidegate'::regnamespace AND NOT c.relispartition
            AND (d.partmethod = 'n' OR s.shardminvalue = current_setting('tidegate.first_hash')) LOOP
        SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns FROM pg_attribute
            WHERE attrelid = relation.oid AND attnum > 0 AND NOT attisdropped AND attname <> 'cell';
        -- Where a row is, for what deletes some rows at a time.
        EXECUTE format('CREATE VIEW %I.%I AS SELECT %s%s FROM %s', cell, relation.relname, columns,
            CASE WHEN relation.partmethod = 'h' AND (SELECT relkind FROM pg_class WHERE oid = relation.oid) = 'r' THEN ', ctid' ELSE '' END,
            relation.shard);
        FOR item IN SELECT DISTINCT grantee::regrole AS role, privilege_type AS privilege
            FROM aclexplode(relation.relacl) WHERE grantee <> relation.relowner AND grantee <> 0
                AND privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE') LOOP
            EXECUTE format('GRANT %s ON %I.%I TO %s', item.privilege, cell, relation.relname, item.role);
        END LOOP;
        FOR item IN SELECT attname, privilege_type AS privilege, grantee::regrole AS role
            FROM pg_attribute, aclexplode(attacl) WHERE attrelid = relation.oid AND attnum > 0 LOOP
            EXECUTE format('GRANT %s (%I) ON %I.%I TO %s', item.privilege, item.attname, cell, relation.relname, item.role);
        END LOOP;
        CONTINUE WHEN relation.partmethod = 'n';
        FOR item IN SELECT attname FROM pg_attribute WHERE attrelid = relation.oid AND attidentity <> '' LOOP
            made := format('%I.%I', cell, relation.relname || '_' || item.attname || '_seq');
            -- Behind every number that was given out before, on whichever node.
            EXECUTE format('CREATE SEQUENCE %s START %s', made, (extract(epoch FROM clock_timestamp())::bigint << 20));
            EXECUTE format('GRANT USAGE ON SEQUENCE %s TO tidegate_writer', made);
            EXECUTE format('ALTER VIEW %I.%I ALTER COLUMN %I SET DEFAULT nextval(%L)', cell, relation.relname, item.attname, made);
        END LOOP;
        IF (SELECT relrowsecurity FROM pg_class WHERE oid = relation.shard::regclass) THEN
            EXECUTE format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY', relation.shard);
        END IF;
        FOR item IN SELECT format('%s_key%s_%s', relation.relname, nullif(n, 1), relation.shardid) AS name, definition
            FROM jsonb_array_elements_text(keys -> relation.relname) WITH ORDINALITY AS k (definition, n) LOOP
            -- Asked first: also where it is there, this would wait for who writes.
            IF to_regclass(format('tidegate.%I', item.name)) IS NULL THEN
                EXECUTE format('CREATE UNIQUE INDEX %I ON %s %s', item.name, relation.shard, item.definition);
            END IF;
        END LOOP;
        IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = relation.shard::regclass AND tgname = 'hold_shard' AND tgenabled = 'O'
                AND tgfoid = 'tidegate.hold_shard'::regproc AND tgtype = 30
                AND tgargs = convert_to(relation.shardid::text, 'UTF8') || '\x00'::bytea || convert_to(cell, 'UTF8') || '\x00'::bytea) THEN
            EXECUTE format('CREATE OR REPLACE TRIGGER hold_shard BEFORE INSERT OR UPDATE OR DELETE ON %s '
                'FOR EACH STATEMENT EXECUTE FUNCTION tidegate.hold_shard(%L, %L)', relation.shard, relation.shardid, cell);
        END IF;
    END LOOP;
    -- What every cell has from the beginning: in the shard of no cell there is what migrations put in.
    FOREACH made IN ARRAY ARRAY['rollup_levels', 'projections'] LOOP
        SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns FROM pg_attribute
            WHERE attrelid = format('tidegate.%I', made)::regclass AND attnum > 0 AND NOT attisdropped AND attname <> 'cell';
        EXECUTE format('INSERT INTO %I.%I (%s) SELECT %s FROM tidegate.%I WHERE cell = %L ON CONFLICT DO NOTHING',
            cell, made, columns, columns, made, '');
    END LOOP;
    FOR item IN SELECT f.value ->> 'column' AS referring, f.value ->> 'of' AS of, f.value ->> 'key' AS key, f.value ->> 'then' AS after,
            o.shardid, format('tidegate.%I', f.value ->> 'from' || '_' || o.shardid) AS from_shard,
            format('tidegate.%I', f.value ->> 'of' || '_' || r.shardid) AS of_shard
        FROM jsonb_array_elements(parts -> 'references') f
        JOIN pg_dist_shard o ON o.logicalrelid = format('tidegate.%I', f.value ->> 'from')::regclass
            AND o.shardminvalue = current_setting('tidegate.first_hash')
        JOIN pg_dist_shard r ON r.logicalrelid = format('tidegate.%I', f.value ->> 'of')::regclass AND r.shardminvalue = o.shardminvalue LOOP
        names := format('%s_of_%s', item.of, item.shardid);
        CONTINUE WHEN EXISTS (SELECT FROM pg_constraint WHERE conrelid = item.from_shard::regclass AND conname = names);
        EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I FOREIGN KEY (%I) REFERENCES %s (%I) ON DELETE %s', item.from_shard, names,
            item.referring, item.of_shard, item.key, item.after);
    END LOOP;
    FOR item IN SELECT key AS name, value AS columns FROM jsonb_each_text(current_setting('tidegate.tables')::jsonb) LOOP
        EXECUTE format('CREATE TABLE %I.%I (%s)', cell, item.name, item.columns);
        EXECUTE format('GRANT SELECT ON %I.%I TO tidegate_reader', cell, item.name);
    END LOOP;
    -- A number for each block of batch ids, as migration 3 has it: nodes divide what they draw by the length of a block.
    EXECUTE format('CREATE SEQUENCE %I.ingest_batch_id INCREMENT BY 1024 START %s', cell,
        1024 * (1 + floor(random() * 4294967296)::bigint));
    EXECUTE format('CREATE SEQUENCE %I.consumer_lease_numbers START %s', cell, (extract(epoch FROM clock_timestamp())::bigint << 10));
    EXECUTE format('GRANT USAGE ON SEQUENCE %I.ingest_batch_id, %I.consumer_lease_numbers TO tidegate_writer', cell, cell);

    SELECT string_agg(relname, '|') INTO names FROM pg_class
        WHERE relnamespace = cell::regnamespace AND relkind IN ('v', 'r', 'S')
            OR relnamespace = 'tidegate'::regnamespace AND relkind = 'v';
    names := names || '|' || array_to_string(working, '|');
    PERFORM set_config('check_function_bodies', 'off', true);
    FOR item IN SELECT oid, proname, pronargs, proacl, pg_get_function_identity_arguments(oid) AS arguments FROM pg_proc
        WHERE pronamespace = 'tidegate'::regnamespace AND proname = ANY (working) LOOP
        made := regexp_replace(pg_get_functiondef(item.oid), format('\mtidegate\.(%s)\M', names), format('%I.\1', cell), 'g');
        made := replace(made, 'TABLE tidegate.%I', format('TABLE %I.%%I', cell));
        made := regexp_replace(made, 'SET search_path TO ''tidegate''', format('SET search_path TO %L', cell));
        made := regexp_replace(made, format('(?<![.\w])(%s)(?=\()', array_to_string(pure, '|')), 'tidegate.\1', 'g');
        EXECUTE made;
        IF item.proacl IS NOT NULL THEN
            EXECUTE format('REVOKE ALL ON FUNCTION %I.%I(%s) FROM PUBLIC', cell, item.proname, item.arguments);
            FOR relation IN SELECT grantee::regrole AS role FROM aclexplode(item.proacl) WHERE grantee <> 0 LOOP
                EXECUTE format('GRANT EXECUTE ON FUNCTION %I.%I(%s) TO %s', cell, item.proname, item.arguments, relation.role);
            END LOOP;
        END IF;
    END LOOP;

    -- Views, those that others read first: their text without the schema's name, read with the cell's first.
    SELECT array_agg(relname ORDER BY oid) INTO waiting FROM pg_class
        WHERE relnamespace = 'tidegate'::regnamespace AND relkind = 'v' AND relname <> 'tenant_usage';
    WHILE waiting <> '{}' LOOP
        pass := pass + 1;
        IF pass > 100 THEN
            RAISE EXCEPTION 'the views % could not be made in %', waiting, cell;
        END IF;
        FOREACH made IN ARRAY waiting LOOP
            CONTINUE WHEN EXISTS (SELECT FROM pg_rewrite w JOIN pg_depend p ON p.objid = w.oid AND p.classid = 'pg_rewrite'::regclass
                JOIN pg_class r ON r.oid = p.refobjid AND p.refclassid = 'pg_class'::regclass
                WHERE w.ev_class = format('tidegate.%I', made)::regclass AND r.relname = ANY (waiting) AND r.relname <> made
                    AND r.relnamespace = 'tidegate'::regnamespace);
            PERFORM set_config('search_path', 'tidegate, public', true);
            columns := pg_get_viewdef(format('tidegate.%I', made)::regclass);
            PERFORM set_config('search_path', format('%I, tidegate, public', cell), true);
            EXECUTE format('CREATE VIEW %I.%I AS %s', cell, made, columns);
            FOR item IN SELECT DISTINCT grantee::regrole AS role, privilege_type AS privilege FROM pg_class c, aclexplode(c.relacl)
                WHERE c.oid = format('tidegate.%I', made)::regclass AND grantee <> c.relowner AND grantee <> 0 AND privilege_type = 'SELECT' LOOP
                EXECUTE format('GRANT SELECT ON %I.%I TO %s', cell, made, item.role);
            END LOOP;
            waiting := array_remove(waiting, made);
        END LOOP;
    END LOOP;
    EXECUTE format('COMMENT ON SCHEMA %I IS %L', cell, mark);
END
$cell$;
