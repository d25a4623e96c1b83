-- Notes sizes, at most once in a day: of the relations $1 with the bytes $2, of the other tables of the schema, and of the
-- whole database. The margin keeps the hour of the day from wandering.
INSERT INTO storage_samples (at, relation, bytes, rows)
SELECT now(), s.relation, s.bytes, s.rows
FROM (
    SELECT relation, bytes, NULL::bigint AS rows FROM unnest($1::text[], $2::bigint[]) AS given (relation, bytes)
    UNION ALL
    SELECT c.relname, pg_total_relation_size(c.oid), greatest(c.reltuples, 0)::bigint
    FROM pg_class c
    WHERE c.relnamespace = 'tidegate'::regnamespace AND c.relkind = 'r' AND NOT c.relispartition
      AND c.relname <> ALL ($1::text[])
    UNION ALL
    SELECT 'database', pg_database_size(current_database()), NULL
) s
WHERE NOT EXISTS (SELECT FROM storage_samples
                  WHERE relation = 'database' AND at BETWEEN now() - INTERVAL '23 hours 59 minutes' AND now())
ON CONFLICT DO NOTHING
