-- Slots of the group $1 as they were read ($4 to $6: slot, term, committed): those that have something ($9) are handed out up to $7 under
-- the lease $2 for $3 ms, $8 says whether one event by itself; the others pass what was not for them. Who has lost a slot meanwhile
-- finds it missing among those that are returned.
UPDATE consumer_slots s SET
    committed = CASE WHEN d.has THEN s.committed ELSE greatest(s.committed, d.hi) END,
    lease = CASE WHEN d.has THEN $2::bigint END,
    lease_hi = CASE WHEN d.has THEN d.hi END,
    lease_until = CASE WHEN d.has THEN now() + $3::bigint * interval '1 millisecond' END,
    deliveries = CASE WHEN d.has THEN s.deliveries + 1 ELSE 0 END,
    alone = d.has AND d.alone,
    not_before = NULL,
    error = CASE WHEN d.has THEN s.error END
FROM unnest($4::smallint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::boolean[], $9::boolean[])
    AS d (slot, term, committed, hi, alone, has)
WHERE s.group_id = $1 AND s.slot = d.slot AND s.term = d.term AND s.committed = d.committed
  AND s.lease IS NULL
RETURNING s.slot, d.has
