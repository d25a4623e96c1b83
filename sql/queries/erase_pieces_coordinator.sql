-- The pieces of sql/queries/erase_pieces.sql that are beside the cells: on the coordinator alone, or on every node. $1 is not used.
WITH others (rank, name, whose) AS (
    VALUES (3, 'sessions', 'user_id IN (SELECT u.id FROM tidegate.users u WHERE u.org_id = (SELECT o.id FROM tidegate.organizations o WHERE o.tenant_id = $1))'),
           (4, 'users', 'org_id = (SELECT o.id FROM tidegate.organizations o WHERE o.tenant_id = $1)'),
           (4, 'api_keys', 'org_id = (SELECT o.id FROM tidegate.organizations o WHERE o.tenant_id = $1)'),
           (5, 'audit_log', 'tenant_id = $1')
)
SELECT pieces.name, pieces.piece, pieces.whose
FROM (
    SELECT 1 AS rank, c.relname::text AS name, format('tidegate.%I', c.relname) AS piece, 'tenant_id = $1' AS whose
    FROM pg_class c LEFT JOIN pg_dist_partition d ON d.logicalrelid = c.oid
    WHERE c.relnamespace = 'tidegate'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND c.relname NOT IN ('organizations', 'cell_organizations', 'audit_log') AND d.partmethod IS DISTINCT FROM 'h' AND $1::text[] IS NOT NULL
      AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped)
    UNION ALL
    SELECT o.rank, o.name, 'tidegate.' || o.name, o.whose FROM others o
) pieces
ORDER BY pieces.rank, pieces.name, pieces.piece
