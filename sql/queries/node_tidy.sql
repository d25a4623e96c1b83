-- Rows of nodes that have been lost for long: for $1 seconds, or $2 where something is in their spool. A clock that was set back
-- removes none.
DELETE FROM tidegate.nodes
WHERE last_seen < clock_timestamp() - make_interval(secs => CASE WHEN spooled_requests + quarantined_files > 0 THEN $2::float8 ELSE $1::float8 END)
