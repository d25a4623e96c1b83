-- How the database grew over the last week, of the samples that the lifecycle job takes daily: bytes a day, bytes now, days
-- between the first and the last sample; and the relation that grew most.
WITH week AS (
    SELECT relation, at, bytes FROM storage_samples WHERE at > now() - INTERVAL '8 days'
), ends AS (
    SELECT DISTINCT ON (relation) relation,
           first_value(bytes) OVER w AS first_bytes, last_value(bytes) OVER w AS last_bytes,
           extract(epoch FROM last_value(at) OVER w - first_value(at) OVER w) / 86400 AS days
    FROM week WINDOW w AS (PARTITION BY relation ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
)
SELECT d.last_bytes,
       (CASE WHEN d.days >= 0.9 THEN (d.last_bytes - d.first_bytes) / d.days END)::float8,
       d.days::float8,
       (SELECT e.relation FROM ends e WHERE e.relation <> 'database' AND e.last_bytes > e.first_bytes
        ORDER BY e.last_bytes - e.first_bytes DESC LIMIT 1)
FROM ends d WHERE d.relation = 'database'
