#!/usr/bin/env python3
"""Three workers of one consumer group: each holds what nobody else has, and gives back what it fails on.

    TIDEGATE_KEY=tg_... python3 pool.py STREAM GROUP [--until-idle]

Events of one asset_id are worked on in their order; what fails three times is parked, and its asset goes on.
"""
import json
import os
import sys
import threading

from consumer import Problem, make, path_of, patiently

WORKERS = 3
print_lock = threading.Lock()


def handle(event):
    """The work. An event whose payload says `"fail": true` fails, so that one sees what happens then."""
    if isinstance(event["payload"], dict) and event["payload"].get("fail"):
        raise ValueError("its payload says so")


def work(place, member, until_idle):
    idle = 0
    while not (until_idle and idle >= 5):
        wait = "500ms" if until_idle else "30s"
        taken = patiently("GET", f"{place}/events?limit=50&wait={wait}&member={member}")
        idle = 0 if taken["events"] else idle + 1
        if not taken["events"]:
            continue
        try:
            for event in taken["events"]:
                handle(event)
        except ValueError as error:
            # All of it comes again, after a moment, and at last one by one.
            settle, body = "/nack", {"lease": taken["lease"], "delay": "100ms", "error": str(error)}
        else:
            settle, body = "/ack", {"lease": taken["lease"]}
        # Printed before anybody works on what comes next of the same assets.
        with print_lock:
            try:
                patiently("POST", place + settle, body)
            except Problem as problem:
                # It took too long, and another has it: what was done here is done again there.
                if problem.code != "lease_over":
                    raise
                continue
            if settle == "/ack":
                for event in taken["events"]:
                    print(json.dumps({"member": member, **event}), flush=True)
    patiently("POST", place + "/leave", {"member": member})


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    stream, group = sys.argv[1:3]
    make(stream, group, ordered_by="asset_id", max_deliveries=3)
    members = [f"{os.uname().nodename}-{os.getpid()}-{number}" for number in range(WORKERS)]
    arguments = [(path_of(stream, group), member, "--until-idle" in sys.argv) for member in members]
    workers = [threading.Thread(target=work, args=of) for of in arguments]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main()
