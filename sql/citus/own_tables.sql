-- What a cell has of its own beside shards, as an object of names and columns: what jobs lock, how they went, and sizes.
SELECT jsonb_object_agg(c.relname,
    coalesce((SELECT string_agg(format('%I %s%s%s', a.attname, format_type(a.atttypid, a.atttypmod),
        ' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END), ', ' ORDER BY a.attnum)
        FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '')
    || coalesce((SELECT string_agg(', ' || pg_get_constraintdef(k.oid), '') FROM pg_constraint k
        WHERE k.conrelid = c.oid AND k.contype IN ('p', 'u')), ''))::text
FROM pg_class c
WHERE c.relnamespace = 'tidegate'::regnamespace AND c.relkind = 'r'
    AND (c.relname LIKE 'lock\_%' OR c.relname IN ('birth_locks', 'job_runs', 'storage_samples'))
