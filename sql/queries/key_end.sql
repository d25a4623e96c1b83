-- Lets the key $1 end at $2, if it does not end before; returns what its successor takes over. No row: there is no such key
-- that can still be used.
UPDATE api_keys SET expires_at = least(coalesce(expires_at, $2), $2)
WHERE id = $1 AND revoked_at IS NULL AND coalesce(expires_at > now(), true)
    AND EXISTS (SELECT FROM organizations o WHERE o.id = org_id AND o.is_active)
RETURNING org_id, scopes, label, events_per_second, bytes_per_second, burst_seconds
