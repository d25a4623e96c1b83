-- In which of the 64 minutes up to $2 each type of the tenant $1 occurred: a bit a minute, the newest lowest. The $3 types present
-- in most minutes; and the minutes in which there was any type.
WITH seen AS (
    SELECT source_module, event_type, $2 - minute AS age FROM type_minutes
    WHERE tenant_id = $1 AND minute <= $2 AND minute > $2 - 64
)
SELECT source_module, event_type, bit_or(1::bigint << age), (SELECT bit_or(1::bigint << age) FROM seen)
FROM seen
GROUP BY source_module, event_type
ORDER BY count(*) DESC, source_module, event_type
LIMIT $3
