-- Text instead of varchar(n). The columnstore finds minimum, maximum and vectorized comparisons by a column's own type, and
-- varchar has none (TimescaleDB 2.28): every filter on asset_id read every segment of its tenant. The lengths of seed
-- ADR-002 are kept by whoever writes (src/limits.rs); nobody else may insert.
--
-- A column cannot change its type while there is a columnstore, so that what is in one goes back to rows first. On a new
-- database that is nothing; elsewhere it takes as long, and as much disk, as writing all events once more.

DO $columnstore$
DECLARE
    stored CONSTANT boolean := EXISTS (
        SELECT FROM timescaledb_information.chunks
        WHERE hypertable_schema = 'tidegate' AND hypertable_name = 'events' AND is_compressed);
    chunk regclass;
BEGIN
    IF stored THEN
        PERFORM public.remove_compression_policy('events', if_exists => true);
        FOR chunk IN SELECT public.show_chunks('events') LOOP
            PERFORM public.decompress_chunk(chunk, if_compressed => true);
        END LOOP;
    END IF;

    ALTER TABLE events SET (timescaledb.enable_columnstore = false);
    ALTER TABLE events
        ALTER COLUMN source_module TYPE text,
        ALTER COLUMN event_type TYPE text,
        ALTER COLUMN severity TYPE text,
        ALTER COLUMN environment TYPE text,
        ALTER COLUMN asset_id TYPE text;
    -- As before, and a bloom for the children of an event.
    ALTER TABLE events SET (
        timescaledb.enable_columnstore = true,
        timescaledb.segmentby = 'tenant_id',
        timescaledb.orderby = 'asset_id, timestamp DESC',
        timescaledb.sparse_index = 'bloom(correlation_id), bloom(id), bloom(parent_event_id)'
    );

    IF stored THEN
        FOR chunk IN SELECT public.show_chunks('events') LOOP
            PERFORM public.compress_chunk(chunk, if_not_compressed => true);
        END LOOP;
    END IF;
END
$columnstore$;
