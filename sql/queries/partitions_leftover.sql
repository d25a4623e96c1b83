-- What an interrupted expiry of the table $1 left behind: partitions whose detach was not finished (true), and partitions detached but
-- not dropped (false). They bear the comment $2; what does not was detached by somebody else, who wants the rows.
SELECT c.oid::regclass::text, coalesce(i.inhdetachpending, false)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
WHERE n.nspname = 'tidegate' AND c.relkind = 'r' AND c.relname ~ ('^' || $1::text || '_p\d{8}_\d{6}(_\d+)?$')
  AND obj_description(c.oid, 'pg_class') = $2::text
  AND (i.inhrelid IS NULL OR i.inhdetachpending)
