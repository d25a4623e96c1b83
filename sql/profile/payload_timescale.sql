-- The columns of JSON as storage_payload asks (tidegate.payload: json or jsonb), on hypertables.
-- Applied once, when the database is installed and holds nothing. A column cannot change its type while there is a columnstore,
-- so that it is taken away and made again with the settings that it had.

DO $payload$
DECLARE
    store record;
BEGIN
    SELECT segmentby, orderby,
        (SELECT string_agg(format('%s(%s)', sparse ->> 'type', sparse ->> 'column'), ', ')
         FROM jsonb_array_elements(index::jsonb) AS sparse
         WHERE sparse ->> 'source' = 'config') AS sparse_index
    INTO STRICT store
    FROM timescaledb_information.hypertable_columnstore_settings
    WHERE hypertable = 'tidegate.events'::regclass;
    ALTER TABLE events SET (timescaledb.enable_columnstore = false);
    EXECUTE format('ALTER TABLE events ALTER COLUMN payload TYPE %1$s, ALTER COLUMN metadata TYPE %1$s',
        current_setting('tidegate.payload'));
    EXECUTE format(
        'ALTER TABLE events SET (timescaledb.enable_columnstore = true, timescaledb.segmentby = %L, timescaledb.orderby = %L, '
        'timescaledb.sparse_index = %L)', store.segmentby, store.orderby, store.sparse_index);
END
$payload$;
