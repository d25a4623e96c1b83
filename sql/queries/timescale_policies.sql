-- Makes the chunk width what the configuration says, and takes away the policies that the lifecycle job has replaced: compression and
-- retention, which databases of an earlier version have. Idempotent, run by the owner at start, under the lock
-- of the installers. The setting tidegate.chunk_s
-- (seconds) is set by the caller for its transaction.
-- Whatever works on chunks is one job of Tidegate (src/lifecycle), because two that meet can deadlock.
--
-- The catalogue and not the views over it (timescaledb_information): those that are joined here take 20 times as long to plan, at every
-- start.
DO $policies$
DECLARE
    chunk_s CONSTANT bigint := current_setting('tidegate.chunk_s')::bigint;
    stored  text;
    job     record;
BEGIN
    FOR stored IN
        SELECT h.table_name FROM _timescaledb_catalog.dimension d
        JOIN _timescaledb_catalog.hypertable h ON h.id = d.hypertable_id
        WHERE h.schema_name = 'tidegate' AND h.table_name IN ('events', 'metrics', 'correlations')
          AND d.interval_length <> chunk_s * 1000000
        ORDER BY 1
    LOOP
        PERFORM public.set_chunk_time_interval(format('tidegate.%I', stored)::regclass, make_interval(secs => chunk_s));
    END LOOP;

    FOR job IN
        SELECT j.id FROM _timescaledb_config.bgw_job j
        JOIN _timescaledb_catalog.hypertable h ON h.id = j.hypertable_id
        LEFT JOIN _timescaledb_catalog.continuous_agg a ON a.mat_hypertable_id = j.hypertable_id
        WHERE coalesce(a.user_view_schema, h.schema_name) = 'tidegate'
          AND j.proc_name IN ('policy_compression', 'policy_retention')
        ORDER BY 1
    LOOP
        PERFORM public.delete_job(job.id);
    END LOOP;
END
$policies$;
