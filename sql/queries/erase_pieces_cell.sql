-- The pieces of sql/queries/erase_pieces.sql in a cell: shards of partitions, and the views of what has none. $1 is not used.
WITH RECURSIVE cell AS (
    SELECT l.shardminvalue AS first_hash FROM pg_dist_shard l
    WHERE l.logicalrelid = 'tidegate.ingest_ledger'::regclass AND format('tidegate_cell_%s', l.shardid) = current_schema()
), tables AS (
    SELECT c.oid, c.relname AS name, c.oid AS leaf, c.relkind
    FROM pg_dist_partition d JOIN pg_class c ON c.oid = d.logicalrelid
    WHERE c.relnamespace = 'tidegate'::regnamespace AND NOT c.relispartition AND d.partmethod = 'h'
      AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped)
    UNION ALL
    SELECT t.oid, t.name, i.inhrelid, p.relkind
    FROM tables t JOIN pg_inherits i ON i.inhparent = t.leaf JOIN pg_class p ON p.oid = i.inhrelid
    WHERE t.relkind = 'p'
), others (name) AS (
    VALUES ('consumer_leases'), ('consumer_members'), ('consumer_offsets'), ('consumer_parked'), ('consumer_slots')
)
SELECT pieces.name, pieces.piece, pieces.whose
FROM (
    SELECT CASE t.name WHEN 'consumer_groups' THEN 2 ELSE 1 END AS rank, t.name::text,
        CASE WHEN t.oid = t.leaf THEN t.name::text ELSE shard_name(t.leaf::regclass, s.shardid) END AS piece, 'tenant_id = $1' AS whose
    FROM tables t JOIN pg_dist_shard s ON s.logicalrelid = t.leaf JOIN cell ON s.shardminvalue = cell.first_hash
    WHERE t.relkind = 'r' AND $1::text[] IS NOT NULL
    UNION ALL
    SELECT 0, o.name, o.name, 'group_id IN (SELECT g.group_id FROM consumer_groups g WHERE g.tenant_id = $1)' FROM others o
) pieces
ORDER BY pieces.rank, pieces.name, pieces.piece
