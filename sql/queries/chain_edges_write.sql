-- Widens the ends of each group ($2) and minute ($3) of the tenant $1; one order in every transaction.
INSERT INTO group_edges AS g (tenant_id, correlation_id, minute, first_at, first_id, first_module, last_at, last_id, last_module)
SELECT $1, u.*
FROM unnest($2::uuid[], $3::integer[], $4::timestamptz[], $5::uuid[], $6::text[], $7::timestamptz[], $8::uuid[], $9::text[]) u
ON CONFLICT (tenant_id, correlation_id, minute) DO UPDATE SET
    (first_at, first_id, first_module) = (SELECT f.* FROM (VALUES
        (g.first_at, g.first_id, g.first_module), (excluded.first_at, excluded.first_id, excluded.first_module)) f
        ORDER BY 1, 2 LIMIT 1),
    (last_at, last_id, last_module) = (SELECT l.* FROM (VALUES
        (g.last_at, g.last_id, g.last_module), (excluded.last_at, excluded.last_id, excluded.last_module)) l
        ORDER BY 1 DESC, 2 DESC LIMIT 1)
WHERE (excluded.first_at, excluded.first_id) < (g.first_at, g.first_id)
   OR (excluded.last_at, excluded.last_id) > (g.last_at, g.last_id)
