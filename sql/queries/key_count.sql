-- How many keys of the organization $1 count against what it may have.
SELECT count(*)
FROM api_keys
WHERE org_id = $1
    AND (revoked_at IS NULL AND coalesce(expires_at > now(), true) OR created_at > now() - interval '1 day')
