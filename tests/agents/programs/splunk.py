"""Logs by the package splunk-handler, to an HTTP Event Collector.

Usage: splunk.py HOST PORT KEY COUNT ROUNDS: in each round COUNT lines. Between two rounds it waits for a line on its
standard input. At the end it prints how many were logged, as JSON.
"""

import json
import logging
import sys

from splunk_handler import SplunkHandler


def main():
    host, port, key = sys.argv[1:4]
    count, rounds = int(sys.argv[4]), int(sys.argv[5])
    handler = SplunkHandler(
        host=host, port=port, token=key, index="main", protocol="http", verify=False, flush_interval=0.2,
        source="checkout", sourcetype="app", hostname="web-1", queue_size=0, retry_count=60, retry_backoff=0.1,
    )
    log = logging.getLogger("trial")
    log.propagate = False
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    for turn in range(rounds):
        if turn > 0:
            print(json.dumps({"round": turn, "lines": turn * count}), flush=True)
            sys.stdin.readline()
        for n in range(turn * count, (turn + 1) * count):
            log.warning('line %d: größer "than" that', n)
        handler.force_flush()
    handler.close()
    print(json.dumps({"round": rounds, "lines": rounds * count}), flush=True)


main()
