-- How many seconds the attempt $1 to sign in, to the account $2 from the address $3, has to wait, for each limit: of the pair ($5), of the
-- address ($6), of the account ($7) within the last $4 seconds. Null: it need not. Then how many there were for the account, up to $7.
WITH counted AS (
    SELECT account, address, extract(epoch FROM at - now())::double precision + $4::double precision AS wait
    FROM sign_in_attempts
    WHERE id <> $1 AND at > now() - make_interval(secs => $4::double precision) AND (account = $2 OR address = $3)
)
SELECT
    (SELECT wait FROM counted WHERE account = $2 AND address = $3 ORDER BY wait DESC OFFSET $5::bigint - 1 LIMIT 1),
    (SELECT wait FROM counted WHERE address = $3 ORDER BY wait DESC OFFSET $6::bigint - 1 LIMIT 1),
    (SELECT wait FROM counted WHERE account = $2 ORDER BY wait DESC OFFSET $7::bigint - 1 LIMIT 1),
    (SELECT count(*) FROM (SELECT FROM counted WHERE account = $2 LIMIT $7::bigint) counted_of_account)
