-- Spreads the relations over the workers of Citus; run after migrations, by one installer at a time. What is spread stays as it is.
--
-- $1 (tidegate.shards) is the number of cells that a new database gets.

SET citus.shard_replication_factor = 1;
SET citus.multi_shard_modify_mode = 'sequential';
SELECT set_config('citus.shard_count', current_setting('tidegate.shards'), false);

DO $spread$
DECLARE
    -- What jobs of every cell read, and what is defined there: a copy on every node.
    everywhere CONSTANT text[] := ARRAY['cell_organizations', 'installation', 'claim_salt', 'event_streams', 'event_stream_schemas',
        'event_stream_revision', 'event_stream_warnings'];
    -- Of people, keys and installers: on the coordinator alone. Policies of row-level security that look at other tables cannot be
    -- spread, nor may what they look at be: a query of a local table becomes one of Citus by its policy, and again where it is sent.
    here CONSTANT text[] := ARRAY['organizations', 'api_keys', 'users', 'sessions', 'reader_logins', 'audit_log', 'sign_in_attempts', 'consumer_sinks',
        'ticket_secret', 'schema_migrations', 'birth_locks', 'nodes', 'job_runs', 'storage_samples'];
    -- Of a cell and no tenant: one set of rows in each cell.
    of_cells CONSTANT text[] := ARRAY['consumer_members', 'consumer_offsets', 'consumer_leases', 'consumer_slots', 'consumer_parked',
        'consumer_groups', 'sequencer_ticks', 'log_epochs', 'rollup_levels', 'rollup_floors', 'projections', 'projection_queue',
        'series_pending'];
    relation record;
    item record;
    key text;
BEGIN
    -- Organizations as cells see them: a copy that follows in the same transaction.
    IF to_regclass('tidegate.cell_organizations') IS NULL THEN
        CREATE TABLE tidegate.cell_organizations (LIKE tidegate.organizations INCLUDING DEFAULTS INCLUDING INDEXES);
        GRANT SELECT ON tidegate.cell_organizations TO tidegate_writer, tidegate_reader;
        INSERT INTO tidegate.cell_organizations SELECT * FROM tidegate.organizations;
        CREATE TRIGGER spread_organization AFTER INSERT OR UPDATE OR DELETE ON tidegate.organizations
            FOR EACH ROW EXECUTE FUNCTION tidegate.spread_organization();
    END IF;
    -- Triggers are not taken by Citus. None is needed: no version before knows this layout, and tenants' readers are refused on it.
    FOR item IN SELECT t.tgrelid::regclass AS on_table, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE c.relnamespace = 'tidegate'::regnamespace AND NOT t.tgisinternal AND c.relname IN
            ('dead_letter_events', 'ingest_batches') LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', item.tgname, item.on_table);
    END LOOP;
    -- Foreign keys between what is here, what is everywhere and what is of cells.
    FOR item IN SELECT k.conrelid::regclass AS on_table, k.conname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
        JOIN pg_class r ON r.oid = k.confrelid
        WHERE k.contype = 'f' AND c.relnamespace = 'tidegate'::regnamespace AND NOT (c.relname = ANY (here) AND r.relname = ANY (here)) LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', item.on_table, item.conname);
    END LOOP;

    FOR relation IN SELECT c.oid, c.relname FROM pg_class c
        WHERE c.relnamespace = 'tidegate'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
            AND c.relname NOT LIKE 'lock\_%' AND c.relname <> ALL (here)
            AND NOT EXISTS (SELECT FROM pg_dist_partition d WHERE d.logicalrelid = c.oid)
        ORDER BY c.relname <> 'ingest_ledger', c.relname LOOP
        -- Neither a copy to workers nor the replication of a move writes to relations with row-level security.
        IF (SELECT relrowsecurity FROM pg_class WHERE oid = relation.oid) THEN
            EXECUTE format('ALTER TABLE tidegate.%I NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY', relation.relname);
        END IF;
        IF relation.relname = ANY (everywhere) THEN
            PERFORM create_reference_table(relation.oid::regclass);
        ELSIF relation.relname = ANY (of_cells) THEN
            -- Unique among the rows of a cell, which its builder sees to: a key of Citus has to name the cell. That one tells the
            -- replication of a move which row is meant; by the whole row it would need every column's type to know equality, and
            -- a pg_snapshot does not.
            SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.n) INTO key
                FROM pg_constraint c, unnest(c.conkey) WITH ORDINALITY k (attnum, n), pg_attribute a
                WHERE c.conrelid = relation.oid AND c.contype = 'p' AND a.attrelid = relation.oid AND a.attnum = k.attnum;
            FOR item IN SELECT conname FROM pg_constraint WHERE conrelid = relation.oid AND contype IN ('p', 'u') LOOP
                EXECUTE format('ALTER TABLE tidegate.%I DROP CONSTRAINT %I', relation.relname, item.conname);
            END LOOP;
            FOR item IN SELECT indexrelid::regclass AS name FROM pg_index WHERE indrelid = relation.oid AND indisunique LOOP
                EXECUTE format('DROP INDEX %s', item.name);
            END LOOP;
            EXECUTE format('ALTER TABLE tidegate.%I ADD COLUMN cell text NOT NULL DEFAULT %L', relation.relname, '');
            IF key IS NOT NULL THEN
                EXECUTE format('ALTER TABLE tidegate.%I ADD CONSTRAINT %I PRIMARY KEY (cell, %s)', relation.relname,
                    relation.relname || '_pkey', key);
            END IF;
            PERFORM create_distributed_table(relation.oid::regclass, 'cell', colocate_with := 'tidegate.ingest_ledger');
        ELSIF relation.relname = 'ingest_ledger' THEN
            PERFORM create_distributed_table(relation.oid::regclass, 'tenant_id');
        ELSE
            PERFORM create_distributed_table(relation.oid::regclass, 'tenant_id', colocate_with := 'tidegate.ingest_ledger');
        END IF;
    END LOOP;
    -- Spread by a version that had no such key.
    IF NOT EXISTS (SELECT FROM pg_index WHERE indrelid = 'tidegate.sequencer_ticks'::regclass AND indisprimary) THEN
        ALTER TABLE tidegate.sequencer_ticks ADD CONSTRAINT sequencer_ticks_pkey PRIMARY KEY (cell, tick);
        ALTER TABLE tidegate.sequencer_ticks REPLICA IDENTITY DEFAULT;
    END IF;
    -- Partitions as well, which do not have it of what they are parts of.
    FOR relation IN SELECT c.relname FROM pg_class c JOIN pg_dist_partition d ON d.logicalrelid = c.oid
        WHERE c.relnamespace = 'tidegate'::regnamespace AND c.relkind = 'r' AND c.relreplident = 'd' AND d.partmethod = 'h'
            AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) LOOP
        EXECUTE format('ALTER TABLE tidegate.%I REPLICA IDENTITY FULL', relation.relname);
    END LOOP;
END
$spread$;
