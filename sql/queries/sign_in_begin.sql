-- An attempt to sign in to the account $1 from the address $2 begins, and counts from now on at every node. What does not count any more,
-- after $3 seconds or behind the newest $4, is deleted: more at once than comes.
WITH expired AS (
    SELECT id FROM sign_in_attempts WHERE at < now() - make_interval(secs => $3::double precision)
    ORDER BY at LIMIT 100 FOR UPDATE SKIP LOCKED
), pushed_out AS (
    SELECT id FROM sign_in_attempts WHERE id <= (SELECT max(id) FROM sign_in_attempts) - $4::bigint
    ORDER BY id LIMIT 100 FOR UPDATE SKIP LOCKED
), deleted AS (
    DELETE FROM sign_in_attempts WHERE id IN (SELECT id FROM expired UNION ALL SELECT id FROM pushed_out)
)
INSERT INTO sign_in_attempts (account, address) VALUES ($1, $2) RETURNING id
