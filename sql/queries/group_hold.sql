-- Holds the group $1 until the end of the transaction, for what counts what it has, and then adds to it: a statement of its own, since the
-- next one's snapshot is to have what others added before. No row: it is deleted.
SELECT FROM consumer_groups WHERE group_id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE
