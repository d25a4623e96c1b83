-- Partitions of events that have no part of the index of payloads: quoted name with its schema, and a name for the part.
SELECT format('tidegate.%I', c.relname), format('%I', left(c.relname, 50) || '_payload_gin')
FROM pg_inherits h
JOIN pg_class c ON c.oid = h.inhrelid
WHERE h.inhparent = 'tidegate.events'::regclass AND NOT h.inhdetachpending
  AND NOT EXISTS (
      SELECT FROM pg_index x
      JOIN pg_inherits part ON part.inhrelid = x.indexrelid AND part.inhparent = 'tidegate.events_payload_gin'::regclass
      WHERE x.indrelid = c.oid)
ORDER BY c.relname DESC
