-- What keeps series up: locks of the jobs that give rows from before theirs (src/rollup/series.rs) and count them
-- (src/lifecycle/series.rs), and who has as many as limits.series_per_tenant allows, noted by the writers.
CREATE TABLE lock_job_series_ids ();
CREATE TABLE lock_job_series_counts ();

ALTER TABLE over_quota DROP CONSTRAINT over_quota_what_check;
ALTER TABLE over_quota ADD CONSTRAINT over_quota_what_check CHECK (what IN ('assets', 'series'));
GRANT SELECT, INSERT, UPDATE ON over_quota TO tidegate_writer;
