-- Consumer groups (src/groups): what reads a stream together, and how far it has come.

CREATE TABLE consumer_groups (
    group_id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id      text        NOT NULL,
    stream         text        NOT NULL,
    name           text        NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
    -- How often an event is handed out before it is parked; 0: as often as it takes.
    max_deliveries integer     NOT NULL CHECK (max_deliveries BETWEEN 0 AND 1000),
    -- After so long without an acknowledgement it is handed out again.
    ack_timeout_ms bigint      NOT NULL CHECK (ack_timeout_ms > 0),
    -- Empty: all.
    event_types    text[]      NOT NULL DEFAULT '{}',
    -- Several members, in the order of each value of this column; null: in no order.
    ordered_by     text        CHECK (ordered_by IN ('asset_id', 'correlation_id', 'source_module')),
    paused_at      timestamptz,
    -- Null: somebody wanted it.
    paused_reason  text,
    created_at     timestamptz NOT NULL DEFAULT now(),
    deleted_at     timestamptz
);
CREATE UNIQUE INDEX consumer_groups_name ON consumer_groups (tenant_id, stream, name) WHERE deleted_at IS NULL;

-- Where each group is. A consumer's own transaction may hold the row (commit_offset below).
CREATE TABLE consumer_offsets (
    group_id     bigint      PRIMARY KEY REFERENCES consumer_groups ON DELETE CASCADE,
    -- Everything before this offset is done with.
    committed    bigint      NOT NULL CHECK (committed >= 0),
    -- Everything before this one was given to members; those of a group in no order go on here.
    claimed      bigint      NOT NULL CHECK (claimed >= committed),
    -- A reset, a takeover, and a restore begin another one: what was handed out before is acknowledged in vain.
    generation   bigint      NOT NULL DEFAULT 1,
    -- How often one member was given what begins at `committed`, and whether the last time one event by itself.
    deliveries   integer     NOT NULL DEFAULT 0,
    alone        boolean     NOT NULL DEFAULT false,
    committed_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- What members of a group in no order hold, or gave back: those that are no replays cover the offsets from `committed` to
-- `claimed` without a gap. The numbers of leases are never given twice, so that an acknowledgement that comes late finds nothing.
CREATE TABLE consumer_leases (
    group_id   bigint      NOT NULL,
    is_replay  boolean     NOT NULL DEFAULT false,
    lo         bigint      NOT NULL,
    hi         bigint      NOT NULL CHECK (hi > lo),
    -- Null: nobody's.
    lease      bigint,
    member     text,
    -- Until then nobody else gets it.
    until      timestamptz NOT NULL DEFAULT now(),
    deliveries integer     NOT NULL DEFAULT 0,
    alone      boolean     NOT NULL DEFAULT false,
    done       boolean     NOT NULL DEFAULT false,
    -- Of a replay, where the group is ordered.
    slot       smallint,
    -- What the last member said that gave it back.
    error      text,
    PRIMARY KEY (group_id, is_replay, lo)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 500);
CREATE INDEX consumer_leases_lease ON consumer_leases (group_id, lease) WHERE lease IS NOT NULL;
CREATE INDEX consumer_leases_done ON consumer_leases (group_id, lo) WHERE done;
CREATE SEQUENCE consumer_lease_numbers AS bigint;

-- Members of ordered groups, for as long as they are heard of.
CREATE TABLE consumer_members (
    group_id bigint      NOT NULL REFERENCES consumer_groups ON DELETE CASCADE,
    member   text        NOT NULL,
    until    timestamptz NOT NULL,
    PRIMARY KEY (group_id, member)
) WITH (fillfactor = 50);

-- The 64 parts of an ordered group: events of one key are all of one part, and a part is one member's at a time.
CREATE TABLE consumer_slots (
    group_id    bigint      NOT NULL REFERENCES consumer_groups ON DELETE CASCADE,
    slot        smallint    NOT NULL CHECK (slot BETWEEN 0 AND 63),
    committed   bigint      NOT NULL CHECK (committed >= 0),
    -- Null: nobody's. It is another's once the member is not heard of any more.
    member      text,
    -- Counts whose it was.
    term        bigint      NOT NULL DEFAULT 0,
    -- What was handed out last, from `committed` to `lease_hi`; null: it is acknowledged, or given back.
    lease       bigint,
    lease_hi    bigint,
    lease_until timestamptz,
    deliveries  integer     NOT NULL DEFAULT 0,
    alone       boolean     NOT NULL DEFAULT false,
    -- Given back with a delay.
    not_before  timestamptz,
    error       text,
    PRIMARY KEY (group_id, slot)
) WITH (fillfactor = 30, autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 500);
CREATE INDEX consumer_slots_lease ON consumer_slots (group_id, lease) WHERE lease IS NOT NULL;

-- Events that a group passes over: parked ones, each a dead letter, and what became of them. A row stays until the group has
-- passed its offset.
CREATE TABLE consumer_parked (
    group_id       bigint      NOT NULL REFERENCES consumer_groups ON DELETE CASCADE,
    "offset"       bigint      NOT NULL,
    dead_letter_id uuid        NOT NULL,
    slot           smallint,
    deliveries     integer     NOT NULL,
    state          text        NOT NULL DEFAULT 'parked' CHECK (state IN ('parked', 'replaying', 'consumed', 'dropped')),
    parked_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (group_id, "offset")
);

-- Which logins may commit for which tenants (tidegate groups sink).
CREATE TABLE consumer_sinks (
    login      name        NOT NULL,
    tenant_id  text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (login, tenant_id)
);

-- Wider than those before, so that nothing needs to be looked at.
ALTER TABLE dead_letter_events DROP CONSTRAINT dead_letter_events_stage_check;
ALTER TABLE dead_letter_events ADD CONSTRAINT dead_letter_events_stage_check
    CHECK (stage IN ('decode', 'validate', 'package', 'write', 'consume')) NOT VALID;
ALTER TABLE dead_letter_events DROP CONSTRAINT dead_letter_events_outcome_check;
ALTER TABLE dead_letter_events ADD CONSTRAINT dead_letter_events_outcome_check
    CHECK (outcome IN ('stored', 'failed', 'consumed', 'dropped')) NOT VALID;

-- Moves on where a group with one member is, if nobody has taken over. What goes wrong has a SQLSTATE of its own, class TG: 404 no
-- such group, 409 the generation is over, 400 the log has not come so far, 410 it does not go back so far, 423 others hold leases,
-- 422 the group is ordered. With `is_effect`, whose caller has written what it did of the events from `first_offset` on, what is
-- committed already is 409 as well. The row is held until the end of the caller's transaction.
CREATE FUNCTION advance_offset(of_group bigint, next_offset bigint, of_generation bigint, is_effect boolean, first_offset bigint)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tidegate, pg_temp
AS $advance$
DECLARE
    place  record;
    begins bigint;
    ends   bigint;
BEGIN
    SELECT o.committed, o.generation, g.tenant_id, g.stream, g.ordered_by INTO place
    FROM consumer_offsets o JOIN consumer_groups g ON g.group_id = o.group_id
    WHERE o.group_id = of_group AND g.deleted_at IS NULL
    FOR UPDATE OF o;
    IF place IS NULL THEN
        RAISE EXCEPTION 'there is no such group' USING ERRCODE = 'TG404';
    ELSIF place.ordered_by IS NOT NULL THEN
        RAISE EXCEPTION 'the group is ordered: its members acknowledge leases' USING ERRCODE = 'TG422';
    ELSIF place.generation IS DISTINCT FROM of_generation THEN
        RAISE EXCEPTION 'generation % is over; it is % now', of_generation, place.generation
            USING ERRCODE = 'TG409', DETAIL = place.generation::text;
    END IF;
    SELECT l.base + l.span INTO ends FROM batch_log l
    WHERE l.tenant_id = place.tenant_id AND l.stream = place.stream ORDER BY l.base DESC LIMIT 1;
    SELECT b.begins INTO begins FROM stream_begins b WHERE b.tenant_id = place.tenant_id AND b.stream = place.stream;
    IF next_offset IS NULL OR next_offset < 0 OR next_offset > coalesce(ends, 0) THEN
        RAISE EXCEPTION 'the stream has not reached the offset %: its next event gets %', next_offset, coalesce(ends, 0)
            USING ERRCODE = 'TG400', DETAIL = coalesce(ends, 0)::text;
    ELSIF greatest(next_offset, place.committed) < coalesce(begins, 0) THEN
        RAISE EXCEPTION 'what was to come next has expired; the stream begins at the offset %', begins
            USING ERRCODE = 'TG410', DETAIL = begins::text;
    ELSIF is_effect AND (next_offset <= place.committed OR first_offset < place.committed) THEN
        RAISE EXCEPTION 'another has committed up to %: these effects are there already', place.committed
            USING ERRCODE = 'TG409', DETAIL = place.generation::text;
    ELSIF next_offset <= place.committed THEN
        -- Said twice, or late.
        RETURN place.committed;
    END IF;
    IF EXISTS (SELECT FROM consumer_leases WHERE group_id = of_group AND NOT is_replay) THEN
        -- One member may commit what it holds, as if it were alone.
        IF (SELECT count(DISTINCT member) FROM consumer_leases
            WHERE group_id = of_group AND NOT is_replay AND NOT done AND lease IS NOT NULL AND until > now()) > 1 THEN
            RAISE EXCEPTION 'several members hold leases; each acknowledges its own' USING ERRCODE = 'TG423';
        END IF;
        DELETE FROM consumer_leases WHERE group_id = of_group AND NOT is_replay AND hi <= next_offset;
        UPDATE consumer_leases SET lo = next_offset WHERE group_id = of_group AND NOT is_replay AND lo < next_offset;
    END IF;
    UPDATE consumer_offsets
    SET committed = next_offset, claimed = greatest(claimed, next_offset), deliveries = 0, alone = false, committed_at = now()
    WHERE group_id = of_group;
    RETURN next_offset;
END
$advance$;

-- Marks what a lease covers as done; how many parts that were. TG409: it is over, or acknowledged already.
CREATE FUNCTION settle_lease(of_group bigint, of_generation bigint, of_lease bigint) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tidegate, pg_temp
AS $settle$
DECLARE
    parts integer;
    moved integer;
BEGIN
    IF NOT EXISTS (SELECT FROM consumer_offsets WHERE group_id = of_group AND generation = of_generation) THEN
        RAISE EXCEPTION 'the lease is of a generation that is over' USING ERRCODE = 'TG409';
    END IF;
    WITH settled AS (
        UPDATE consumer_leases SET done = true WHERE group_id = of_group AND lease = of_lease AND NOT done
        RETURNING is_replay, lo
    ), consumed AS (
        UPDATE consumer_parked p SET state = 'consumed' FROM settled s
        WHERE s.is_replay AND p.group_id = of_group AND p."offset" = s.lo
        RETURNING p.dead_letter_id
    ), told AS (
        UPDATE dead_letter_events d SET outcome = 'consumed', replayed_at = now(), outcome_code = NULL, outcome_detail = NULL
        FROM consumed c, consumer_groups g
        WHERE g.group_id = of_group AND d.tenant_id = g.tenant_id AND d.id = c.dead_letter_id
    )
    SELECT count(*) INTO parts FROM settled;
    UPDATE consumer_slots
    SET committed = greatest(committed, lease_hi), lease = NULL, deliveries = 0, alone = false, not_before = NULL, error = NULL
    WHERE group_id = of_group AND lease = of_lease;
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF parts + moved = 0 THEN
        RAISE EXCEPTION 'the lease is over: it is acknowledged, given back, or was given to another' USING ERRCODE = 'TG409';
    END IF;
    RETURN parts + moved;
END
$settle$;

-- The group that a sink may commit for. Its transaction, if it is left open, ends after a minute: it holds back vacuum, and compression.
CREATE FUNCTION sink_group(tenant text, stream_name text, group_name text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tidegate, pg_temp
AS $sink$
DECLARE
    of_group bigint;
BEGIN
    PERFORM set_config('idle_in_transaction_session_timeout', '60s', true);
    SELECT g.group_id INTO of_group FROM consumer_groups g
    WHERE g.tenant_id = tenant AND g.stream = stream_name AND g.name = group_name AND g.deleted_at IS NULL
      AND (EXISTS (SELECT FROM consumer_sinks s WHERE s.login = session_user AND s.tenant_id = tenant)
           OR pg_has_role(session_user, current_user, 'MEMBER'));
    IF of_group IS NULL THEN
        RAISE EXCEPTION 'there is no such group' USING ERRCODE = 'TG404';
    END IF;
    RETURN of_group;
END
$sink$;

-- For consumers whose effects are rows of this database: called last in the transaction of the effects, so that both are there or
-- neither. Where another has taken over it fails, and the effects with it; so it does where another has committed meanwhile what
-- begins with `first_offset`, the offset of the first of these events.
CREATE FUNCTION commit_offset(tenant text, stream_name text, group_name text, next_offset bigint, of_generation bigint,
                              first_offset bigint DEFAULT NULL) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = tidegate, pg_temp
AS $$ SELECT tidegate.advance_offset(tidegate.sink_group(tenant, stream_name, group_name), next_offset, of_generation, true, first_offset) $$;

-- The same for one of several members: `lease` as it came with the events.
CREATE FUNCTION ack_lease(tenant text, stream_name text, group_name text, lease text) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = tidegate, pg_temp
AS $$ SELECT tidegate.settle_lease(tidegate.sink_group(tenant, stream_name, group_name),
                                   split_part(lease, '-', 1)::bigint, split_part(lease, '-', 2)::bigint) $$;

-- The job that moves groups on (src/groups/upkeep.rs).
CREATE TABLE lock_job_groups ();

REVOKE EXECUTE ON FUNCTION advance_offset(bigint, bigint, bigint, boolean, bigint), settle_lease(bigint, bigint, bigint), sink_group(text, text, text),
    commit_offset(text, text, text, bigint, bigint, bigint), ack_lease(text, text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION advance_offset(bigint, bigint, bigint, boolean, bigint), settle_lease(bigint, bigint, bigint) TO tidegate_writer;

GRANT SELECT, INSERT, UPDATE ON consumer_groups TO tidegate_writer;
GRANT SELECT, INSERT, UPDATE ON consumer_offsets TO tidegate_writer;
GRANT SELECT, INSERT, UPDATE, DELETE ON consumer_leases, consumer_members, consumer_slots, consumer_parked TO tidegate_writer;
GRANT USAGE ON SEQUENCE consumer_lease_numbers TO tidegate_writer;
GRANT SELECT ON batch_log, log_epochs, stream_epochs, stream_begins TO tidegate_writer;
