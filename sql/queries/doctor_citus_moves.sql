-- Moves of shards that run, and jobs of the rebalancer that wait or failed.
SELECT format('shards with %s go from %s:%s to %s:%s (%s)', table_name, sourcename, sourceport, targetname, targetport, status), false
FROM (SELECT DISTINCT ON (sourcename, sourceport, targetname, targetport) table_name::text, sourcename, sourceport, targetname, targetport, status
      FROM get_rebalance_progress() ORDER BY sourcename, sourceport, targetname, targetport, table_name::text) p
UNION ALL
SELECT format('job %s (%s) is %s', job_id, description, state), state::text IN ('failing', 'failed')
FROM pg_dist_background_job WHERE state::text IN ('scheduled', 'running', 'cancelling', 'failing', 'failed')
ORDER BY 1
LIMIT 20
