-- A session $1 of the user $2 with the hash $3 of its token, for $4 seconds, from the address $5 with the agent $6; $7 is the hash of the
-- password that was right, which must still be that of an active user, and $8 another one of the same password, or null. No row: it is not.
WITH holder AS (
    UPDATE users u SET last_login_at = now(), password_hash = coalesce($8, u.password_hash)
    FROM organizations o
    WHERE u.id = $2 AND u.is_active AND u.password_hash = $7 AND o.id = u.org_id AND o.is_active
    RETURNING u.id
)
INSERT INTO sessions (id, user_id, token_hash, expires_at, address, user_agent)
SELECT $1, id, $3, now() + make_interval(secs => $4::double precision), $5, $6 FROM holder
RETURNING expires_at
