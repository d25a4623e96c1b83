-- Bytes of the chunks $1, those of their columnstores ($2, null where there is none) included, in the same order. One that
-- is dropped meanwhile has none.
SELECT coalesce(pg_total_relation_size(to_regclass(c.chunk)), 0)
       + coalesce(pg_total_relation_size(to_regclass(c.columnstore)), 0)
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS c (chunk, columnstore, n)
ORDER BY c.n
