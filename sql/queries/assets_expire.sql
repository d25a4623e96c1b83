-- Deletes at most $3 assets of which nothing was seen for as long as events ($1 seconds) and metrics ($2) are kept, or the
-- organization keeps its own. What somebody said of an asset cannot be inferred again, and stays. What others are writing is passed
-- over: it is seen at this moment.
DELETE FROM asset_metadata WHERE ctid = ANY (ARRAY(
    SELECT a.ctid
    FROM asset_metadata a
    LEFT JOIN organizations o USING (tenant_id)
    WHERE a.last_seen < now() - make_interval(secs => greatest(
              coalesce(o.events_retention_days * 86400::bigint, $1::bigint), coalesce(o.metrics_retention_days * 86400::bigint, $2::bigint)))
      AND a.asset_name = a.asset_id AND a.asset_type = 'unknown'
      AND num_nulls(a.version, a.owner_id, a.team_id, a.tags, a.metadata) = 5
    LIMIT $3
    FOR UPDATE OF a SKIP LOCKED
))
