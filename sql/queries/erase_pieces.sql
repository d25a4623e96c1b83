-- What has rows of organizations, piece by piece: each relation as it is reported, the table that is deleted from, what makes a row the
-- organization's: its slug is $1 there. Those that others refer to come last. Not of hypertables (sql/queries/erase_chunks.sql), whose names
-- are $1 here. Each table with a column tenant_id is there by itself, and every partition of it.
WITH RECURSIVE tables AS (
    SELECT c.oid, c.relname AS name, c.oid AS leaf, c.relkind
    FROM pg_class c
    WHERE c.relnamespace = 'tidegate'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND c.relname NOT IN ('organizations', 'audit_log')
      AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped)
      AND NOT c.relname = ANY ($1::text[])
    UNION ALL
    SELECT t.oid, t.name, i.inhrelid, p.relkind
    FROM tables t JOIN pg_inherits i ON i.inhparent = t.leaf JOIN pg_class p ON p.oid = i.inhrelid
    WHERE t.relkind = 'p'
), others (rank, name, whose) AS (
    VALUES (0, 'consumer_leases', 'group_id IN (SELECT g.group_id FROM tidegate.consumer_groups g WHERE g.tenant_id = $1)'),
           (0, 'consumer_members', 'group_id IN (SELECT g.group_id FROM tidegate.consumer_groups g WHERE g.tenant_id = $1)'),
           (0, 'consumer_offsets', 'group_id IN (SELECT g.group_id FROM tidegate.consumer_groups g WHERE g.tenant_id = $1)'),
           (0, 'consumer_parked', 'group_id IN (SELECT g.group_id FROM tidegate.consumer_groups g WHERE g.tenant_id = $1)'),
           (0, 'consumer_slots', 'group_id IN (SELECT g.group_id FROM tidegate.consumer_groups g WHERE g.tenant_id = $1)'),
           (3, 'sessions', 'user_id IN (SELECT u.id FROM tidegate.users u WHERE u.org_id = (SELECT o.id FROM tidegate.organizations o WHERE o.tenant_id = $1))'),
           (4, 'users', 'org_id = (SELECT o.id FROM tidegate.organizations o WHERE o.tenant_id = $1)'),
           (4, 'api_keys', 'org_id = (SELECT o.id FROM tidegate.organizations o WHERE o.tenant_id = $1)'),
           (5, 'audit_log', 'tenant_id = $1')
)
SELECT pieces.name, pieces.piece, pieces.whose
FROM (
    SELECT CASE t.name WHEN 'consumer_groups' THEN 2 ELSE 1 END AS rank, t.name::text, t.leaf::regclass::text AS piece, 'tenant_id = $1' AS whose
    FROM tables t WHERE t.relkind = 'r'
    UNION ALL
    SELECT o.rank, o.name, 'tidegate.' || o.name, o.whose FROM others o
) pieces
ORDER BY pieces.rank, pieces.name, pieces.piece
