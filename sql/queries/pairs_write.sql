-- Pairs of the tenant $1, columns side by side. What is found again and says the same is not written; a pair of parent and
-- child is not overwritten by the id that both share.
INSERT INTO correlations AS c (
    id, timestamp, tenant_id, correlation_type, primary_event_id, primary_timestamp, related_event_id, related_timestamp,
    strength, confidence, metadata)
SELECT id, at, $1, kind, primary_id, primary_at, related_id, related_at, strength, confidence, metadata
FROM unnest($2::uuid[], $3::timestamptz[], $4::text[], $5::uuid[], $6::timestamptz[], $7::uuid[], $8::timestamptz[],
            $9::float8[], $10::float8[], $11::jsonb[])
    AS u (id, at, kind, primary_id, primary_at, related_id, related_at, strength, confidence, metadata)
ON CONFLICT (tenant_id, id, timestamp) DO UPDATE SET
    primary_timestamp = excluded.primary_timestamp, related_timestamp = excluded.related_timestamp,
    strength = excluded.strength, confidence = excluded.confidence, metadata = excluded.metadata
WHERE (c.metadata ->> 'rule' IS DISTINCT FROM 'parent' OR excluded.metadata ->> 'rule' = 'parent')
  AND (c.primary_timestamp, c.related_timestamp, c.strength, c.confidence, c.metadata)
      IS DISTINCT FROM
      (excluded.primary_timestamp, excluded.related_timestamp, excluded.strength, excluded.confidence, excluded.metadata)
