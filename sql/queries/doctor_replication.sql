-- Whether a COMMIT waits for standbys, and how many follow this server: one row each, also where the role may not see more of
-- them.
SELECT current_setting('synchronous_standby_names'), (SELECT count(*) FROM pg_stat_replication),
    (SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum'))
