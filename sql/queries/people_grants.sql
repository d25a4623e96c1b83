-- What people may read who were given a login (tidegate readers create): the relations of sql/contract, and what the views among
-- them read. Granted to the group that they are members of, where there is one; run by the owner after every migration.
DO $grants$
DECLARE
    change text;
BEGIN
    IF to_regrole('tidegate_people') IS NULL THEN
        RETURN;
    END IF;
    FOR change IN
        SELECT 'GRANT USAGE ON SCHEMA tidegate TO tidegate_people'
        WHERE NOT has_schema_privilege('tidegate_people', 'tidegate', 'USAGE')
        UNION ALL
        SELECT format('GRANT SELECT ON tidegate.%I TO tidegate_people', c.relname)
        FROM pg_class c
        WHERE c.relnamespace = 'tidegate'::regnamespace
          AND (c.relname IN ('events', 'metrics', 'correlations', 'correlated_events', 'metrics_1m', 'metrics_5m', 'metrics_hourly',
                   'metrics_daily', 'event_counts_1m', 'event_counts_hourly', 'correlation_groups', 'asset_metadata', 'services', 'deployments', 'resource_references', 'action_histories',
                   'resource_action_traces', 'actions', 'metric_series', 'metric_catalog', 'organizations',
                   'dead_letter_events', 'ingest_batches', 'rollup_levels', 'event_streams', 'event_stream_schemas', 'event_stream_warnings')
               OR c.relkind = 'p' AND c.relname LIKE '%\_closed'
               OR c.relkind = 'v' AND c.relname LIKE 'metrics\_%\_buckets')
          AND NOT has_table_privilege('tidegate_people', c.oid, 'SELECT')
        UNION ALL
        -- Of these the columns that the service's reader sees as well: neither keys of senders nor hashes.
        SELECT format('GRANT SELECT (%s) ON tidegate.%I TO tidegate_people', string_agg(quote_ident(a.attname), ', '), c.relname)
        FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relnamespace = 'tidegate'::regnamespace AND c.relname IN ('api_keys', 'ingest_ledger')
          AND has_column_privilege('tidegate_reader', c.oid, a.attnum, 'SELECT')
          AND NOT has_column_privilege('tidegate_people', c.oid, a.attnum, 'SELECT')
        GROUP BY c.relname
    LOOP
        EXECUTE change;
    END LOOP;
END
$grants$;
