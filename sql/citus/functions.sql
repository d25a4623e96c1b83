-- Before a statement that writes to a shard: that it is not being moved, and is still this node's. A shard that was moved is left
-- behind for a while, and what is written there would be lost. A move locks all shards of a cell, the second argument, so that
-- one of them holds it until the transaction ends, and the setting that says so ends with the lock, also at a savepoint.
CREATE OR REPLACE FUNCTION tidegate.hold_shard() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('tidegate.held', true) IS DISTINCT FROM TG_ARGV[1] THEN
        PERFORM pg_catalog.lock_shard_metadata(5, ARRAY[TG_ARGV[0]::bigint]);
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_dist_placement p JOIN pg_catalog.pg_dist_local_group g ON g.groupid = p.groupid
                       WHERE p.shardid = TG_ARGV[0]::bigint) THEN
            RAISE EXCEPTION 'the shard % of % is another node''s now', TG_ARGV[0], TG_TABLE_NAME USING ERRCODE = '55000';
        END IF;
        PERFORM set_config('tidegate.held', TG_ARGV[1], true);
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION tidegate.hold_shard() FROM PUBLIC;

-- Follows a change of an organization in the copy that is on every node. Column by column: other nodes do not know the row's type.
DO $make$
DECLARE
    names text;
    new text;
BEGIN
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum), string_agg('NEW.' || quote_ident(attname), ', ' ORDER BY attnum)
        INTO names, new FROM pg_attribute WHERE attrelid = 'tidegate.organizations'::regclass AND attnum > 0 AND NOT attisdropped;
    EXECUTE format($function$
        CREATE OR REPLACE FUNCTION tidegate.spread_organization() RETURNS trigger
        LANGUAGE plpgsql SET search_path = tidegate, pg_temp AS $body$
        BEGIN
            IF TG_OP <> 'INSERT' THEN
                DELETE FROM cell_organizations WHERE id = OLD.id;
            END IF;
            IF TG_OP <> 'DELETE' THEN
                INSERT INTO cell_organizations (%s) VALUES (%s);
            END IF;
            RETURN NULL;
        END
        $body$
    $function$, names, new);
END
$make$;
REVOKE ALL ON FUNCTION tidegate.spread_organization() FROM PUBLIC;
