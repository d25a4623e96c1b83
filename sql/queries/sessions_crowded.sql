-- Of the user $1 the newest $2 sessions stay good, and the newest $3 are kept.
WITH placed AS (
    SELECT id, row_number() OVER (ORDER BY created_at DESC, id DESC) AS place FROM sessions WHERE user_id = $1
), ended AS (
    UPDATE sessions s SET revoked_at = now()
    FROM (
        SELECT id, row_number() OVER (ORDER BY created_at DESC, id DESC) AS place FROM sessions
        WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > now()
    ) good
    WHERE s.id = good.id AND good.place > $2 AND s.id IN (SELECT id FROM placed WHERE place <= $3)
)
DELETE FROM sessions s USING placed WHERE s.id = placed.id AND placed.place > $3
