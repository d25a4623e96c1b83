-- Makes the chunk width what the configuration says, and takes away the policies that the lifecycle job has replaced: compression and
-- retention, which databases of an earlier version have. Idempotent, run by the owner at start, under the lock
-- of the installers. The setting tidegate.chunk_s
-- (seconds) is set by the caller for its transaction.
-- Whatever works on chunks is one job of Tidegate (src/lifecycle), because two that meet can deadlock.
DO $policies$
DECLARE
    chunk_s CONSTANT bigint := current_setting('tidegate.chunk_s')::bigint;
    stored  text;
    found   interval;
    job     record;
BEGIN
    FOREACH stored IN ARRAY ARRAY['events', 'metrics', 'correlations'] LOOP
        SELECT time_interval INTO found FROM timescaledb_information.dimensions
        WHERE hypertable_schema = 'tidegate' AND hypertable_name = stored AND dimension_number = 1;
        IF found IS DISTINCT FROM make_interval(secs => chunk_s) THEN
            PERFORM public.set_chunk_time_interval(format('tidegate.%I', stored)::regclass, make_interval(secs => chunk_s));
        END IF;
    END LOOP;

    FOR job IN
        SELECT j.job_id FROM timescaledb_information.jobs j
        LEFT JOIN timescaledb_information.continuous_aggregates a
            ON a.materialization_hypertable_schema = j.hypertable_schema
            AND a.materialization_hypertable_name = j.hypertable_name
        WHERE coalesce(a.view_schema, j.hypertable_schema) = 'tidegate'
          AND j.proc_name IN ('policy_compression', 'policy_retention')
        ORDER BY 1
    LOOP
        PERFORM public.delete_job(job.job_id);
    END LOOP;
END
$policies$;
