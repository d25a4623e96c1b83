#!/usr/bin/env python3
"""Reads a stream as the one member of a consumer group, and commits how far it came.

    TIDEGATE_KEY=tg_... python3 consumer.py STREAM GROUP [--until-idle]

Needs Python's standard library and a key with the scope `consume`. Prints each event as a line of JSON.
"""
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

URL = os.environ.get("TIDEGATE_URL", "http://127.0.0.1:8080")
KEY = os.environ.get("TIDEGATE_KEY", "")


def ask(method, path, body=None):
    """One request; its answer as JSON. A problem document is raised."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    request = urllib.request.Request(URL + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        problem = json.load(error)
        raise Problem(problem["code"], problem["detail"]) from None


class Problem(Exception):
    def __init__(self, code, detail):
        super().__init__(f"{code}: {detail}")
        self.code = code


def patiently(method, path, body=None):
    """The same, again while the server is away or busy; what was said twice changes nothing."""
    while True:
        try:
            return ask(method, path, body)
        except Problem as problem:
            if problem.code not in ("database_unavailable", "reads_busy", "tenant_reads", "group_busy"):
                raise
        except OSError:
            pass
        time.sleep(1)


def path_of(stream, group):
    return f"/v1/streams/{urllib.parse.quote(stream, safe='')}/groups/{urllib.parse.quote(group, safe='')}"


def make(stream, group, **settings):
    """Makes the group, unless it is there."""
    try:
        patiently("POST", path_of(stream, group).rsplit("/", 1)[0], {"name": group, **settings})
    except Problem as problem:
        if problem.code != "group_exists":
            raise


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    stream, group = sys.argv[1:3]
    place = path_of(stream, group)
    make(stream, group)
    # A consumer that read before, such as a process that hangs, commits in vain from now on.
    patiently("POST", place + "/takeover", {})
    while True:
        taken = patiently("GET", place + "/events?limit=500&wait=" + ("0" if "--until-idle" in sys.argv else "30s"))
        for event in taken["events"]:
            print(json.dumps(event), flush=True)
        if taken["events"] and taken["lease"]:
            # Parked events that are replayed come each under a lease, and move the group nowhere.
            patiently("POST", place + "/ack", {"lease": taken["lease"]})
        elif taken["events"]:
            done = {"cursor": taken["cursor"], "generation": taken["generation"]}
            patiently("POST", place + "/offset", done)
        elif "--until-idle" in sys.argv:
            return


if __name__ == "__main__":
    main()
