-- Where the sequencer works, and how that stands to its newest tick: whether that is of another cluster, database or relation (a
-- restored dump, a copied database, a cell that was moved, whose table lies under a view), of another timeline (a failover, a recovery to a point in time), or ahead of this cluster's transactions;
-- and which one it is.
WITH place AS MATERIALIZED (
    SELECT (SELECT system_identifier FROM pg_control_system()) || '/' || (SELECT oid FROM pg_database WHERE datname = current_database())
               || '/' || coalesce((SELECT d.refobjid FROM pg_rewrite w JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
                      WHERE w.ev_class = 'sequencer_ticks'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> w.ev_class LIMIT 1),
                   'sequencer_ticks'::regclass::oid) AS here,
           left(pg_walfile_name(pg_current_wal_lsn()), 8) AS timeline
)
SELECT p.here, p.timeline, t.tick IS NOT NULL, coalesce(t.system_identifier = p.here, false), coalesce(t.timeline = p.timeline, false),
       coalesce(pg_snapshot_xmax(t.snapshot) > pg_snapshot_xmax(pg_current_snapshot()), false), t.tick
FROM place p LEFT JOIN (SELECT * FROM sequencer_ticks ORDER BY tick DESC LIMIT 1) t ON true
