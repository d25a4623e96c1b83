-- The next $1 orphans whose parent was not looked for in the whole window; it is now.
UPDATE orphans SET searched = true
WHERE ctid = ANY (ARRAY(SELECT ctid FROM orphans WHERE NOT searched ORDER BY since LIMIT $1))
RETURNING tenant_id, parent_event_id, event_id, timestamp, source_module, matched
