#!/usr/bin/env python3
"""Effects that are rows of Tidegate's own database: rows and offset are one transaction, so that each event has its effect once.

    TIDEGATE_KEY=tg_... SINK_URL=postgres://billing:...@host/tidegate python3 sink.py STREAM GROUP ORGANIZATION [--until-idle]

SINK_URL is of a login of `tidegate sinks create`, the organization is its `tenant_id`, such as `default`. Where it writes to is
made and granted before, by a superuser (of the embedded server `user=postgres` in the psql line of `serve`):

    CREATE SCHEMA billing;
    CREATE TABLE billing.totals (asset_id text PRIMARY KEY, events bigint, last_offset bigint);
    GRANT USAGE ON SCHEMA billing TO billing;  -- the login
    GRANT SELECT, INSERT, UPDATE ON billing.totals TO billing;

The SQL is run by psql, to need nothing that is not there; a driver does the same.
"""
import os
import subprocess
import sys

from consumer import make, path_of, patiently


def quoted(value):
    return "NULL" if value is None else "'" + str(value).replace("'", "''") + "'"


def transaction(taken, tenant, stream, group):
    rows = ", ".join(f"({quoted(event['asset_id'] or '-')}, 1, {event['offset']})" for event in taken["events"])
    place = ", ".join(map(quoted, (tenant, stream, group)))
    first = taken["events"][0]["offset"]
    if taken["lease"]:
        # A parked event that is replayed: it comes under a lease, and moves the group nowhere.
        done = f"tidegate.ack_lease({place}, {quoted(taken['lease'])})"
    else:
        done = f"tidegate.commit_offset({place}, {taken['next_offset']}, {taken['generation']}, {first})"
    return f"""
        BEGIN;
        INSERT INTO billing.totals (asset_id, events, last_offset)
        SELECT asset_id, count(*), max(at) FROM (VALUES {rows}) AS e (asset_id, n, at) GROUP BY asset_id ORDER BY asset_id
        ON CONFLICT (asset_id) DO UPDATE
            SET events = totals.events + excluded.events, last_offset = greatest(totals.last_offset, excluded.last_offset);
        -- Last: from here on the group is held.
        SELECT {done};
        COMMIT;
    """


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    stream, group, tenant = sys.argv[1:4]
    place = path_of(stream, group)
    make(stream, group)
    patiently("POST", place + "/takeover", {})
    while True:
        taken = patiently("GET", place + "/events?limit=500&wait=" + ("0" if "--until-idle" in sys.argv else "30s"))
        if taken["events"]:
            psql = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", os.environ["SINK_URL"], "-o", os.devnull]
            done = subprocess.run(psql, input=transaction(taken, tenant, stream, group), text=True, stderr=subprocess.PIPE)
            if done.returncode != 0:
                # Nothing of it is done, or all: what is next says which. TG409: another has taken over.
                print(done.stderr, file=sys.stderr, end="")
                if "TG409" in done.stderr or "generation" in done.stderr:
                    sys.exit(1)
        elif "--until-idle" in sys.argv:
            return


if __name__ == "__main__":
    main()
