-- Rows that migrations made and the program relies on, put back where somebody has removed them (a table that was emptied, a dump that was
-- restored in part); returns the tables that they were missing from. A new salt or secret is as good as the old one. A projection
-- that is new here goes through what is stored. Nothing is tried where nothing is missing: such an INSERT would wait for others.
WITH revision AS (
    INSERT INTO event_stream_revision (revision)
    SELECT coalesce(max(s.revision), 0) FROM event_streams s HAVING NOT EXISTS (SELECT FROM event_stream_revision)
    ON CONFLICT DO NOTHING RETURNING 'event_stream_revision' AS name
), salt AS (
    INSERT INTO claim_salt (salt) SELECT gen_random_uuid()::text || gen_random_uuid()::text WHERE NOT EXISTS (SELECT FROM claim_salt)
    ON CONFLICT DO NOTHING RETURNING 'claim_salt' AS name
), secret AS (
    INSERT INTO ticket_secret (secret) SELECT gen_random_uuid()::text || gen_random_uuid()::text WHERE NOT EXISTS (SELECT FROM ticket_secret)
    ON CONFLICT DO NOTHING RETURNING 'ticket_secret' AS name
), births AS (
    INSERT INTO birth_locks (kind, slot)
    SELECT kind, slot FROM unnest(ARRAY['events', 'metrics']) AS k (kind), generate_series(0, 63) AS slot
    WHERE NOT EXISTS (SELECT FROM birth_locks b WHERE (b.kind, b.slot) = (k.kind, slot))
    ON CONFLICT DO NOTHING RETURNING 'birth_locks' AS name
), projected AS (
    INSERT INTO projections (name, bit)
    SELECT p.name, p.bit FROM (VALUES ('services', 0), ('deployments', 1), ('asset_details', 2), ('actions', 3)) AS p (name, bit)
    WHERE NOT EXISTS (SELECT FROM projections there WHERE there.name = p.name)
    ON CONFLICT DO NOTHING RETURNING 'projections' AS name
)
SELECT DISTINCT name FROM (
    SELECT name FROM revision UNION ALL SELECT name FROM salt UNION ALL SELECT name FROM secret UNION ALL SELECT name FROM births
    UNION ALL SELECT name FROM projected
) missing ORDER BY name
