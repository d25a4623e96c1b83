-- Where the database's clock is set back, what it was to do by a time would be done later by as much: what a member holds that died, for
-- days. Nothing is held for longer from now than it is given for ($2: the least silence of members, ms); a second more, so that what is
-- as it should be stays as it is. What was given back with a delay waits $1 ms less: by so much the clock was seen to go back. Rows that
-- others hold are looked at the next time.
WITH leases AS MATERIALIZED (
    SELECT l.group_id, l.is_replay, l.lo, CASE WHEN l.lease IS NULL THEN l.until - $1::bigint * interval '1 millisecond'
           ELSE now() + g.ack_timeout_ms * interval '1 millisecond' END AS until
    FROM consumer_leases l JOIN consumer_groups g ON g.group_id = l.group_id
    WHERE NOT l.done AND CASE WHEN l.lease IS NULL THEN $1 > 0 AND l.until > now()
                              ELSE l.until > now() + g.ack_timeout_ms * interval '1 millisecond' + interval '1 second' END
    FOR UPDATE OF l SKIP LOCKED
), leased AS (
    UPDATE consumer_leases l SET until = s.until FROM leases s
    WHERE l.group_id = s.group_id AND l.is_replay = s.is_replay AND l.lo = s.lo
    RETURNING 1
), slots AS MATERIALIZED (
    SELECT s.group_id, s.slot, s.not_before - $1::bigint * interval '1 millisecond' AS not_before,
           least(s.lease_until, now() + g.ack_timeout_ms * interval '1 millisecond') AS lease_until
    FROM consumer_slots s JOIN consumer_groups g ON g.group_id = s.group_id, (SELECT count(*) FROM leased) before
    WHERE s.lease IS NOT NULL AND s.lease_until > now() + g.ack_timeout_ms * interval '1 millisecond' + interval '1 second'
       OR $1 > 0 AND s.not_before > now()
    FOR UPDATE OF s SKIP LOCKED
), slotted AS (
    UPDATE consumer_slots s SET lease_until = t.lease_until, not_before = t.not_before FROM slots t
    WHERE s.group_id = t.group_id AND s.slot = t.slot
    RETURNING 1
), members AS MATERIALIZED (
    SELECT m.group_id, m.member, now() + greatest(g.ack_timeout_ms, $2::bigint) * interval '1 millisecond' AS until
    FROM consumer_members m JOIN consumer_groups g ON g.group_id = m.group_id, (SELECT count(*) FROM slotted) before
    WHERE m.until > now() + greatest(g.ack_timeout_ms, $2) * interval '1 millisecond' + interval '1 second'
    FOR UPDATE OF m SKIP LOCKED
), heard AS (
    UPDATE consumer_members m SET until = t.until FROM members t WHERE m.group_id = t.group_id AND m.member = t.member
    RETURNING 1
)
SELECT (SELECT count(*) FROM leased) + (SELECT count(*) FROM slotted) + (SELECT count(*) FROM heard)
