-- The parked event at the offset $3 of the group $1 of the tenant $2 was handed out again in vain, for the reason $5 called $4: it stays
-- parked. One that was dropped, consumed or parked meanwhile stays what it became.
WITH again AS (
    UPDATE consumer_parked SET state = 'parked' WHERE group_id = $1 AND "offset" = $3 AND state = 'replaying' RETURNING dead_letter_id
)
UPDATE dead_letter_events d SET outcome = 'failed', replayed_at = now(), outcome_code = $4, outcome_detail = $5
FROM again a WHERE d.tenant_id = $2 AND d.id = a.dead_letter_id
