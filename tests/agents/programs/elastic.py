"""Indexes documents by the client library of Elasticsearch, in bulk and with ids of their own.

Usage: elastic.py URL KEY RUN COUNT ROUNDS: in each round COUNT documents. Between two rounds it waits for a line on its
standard input. At the end it prints how many were indexed, as JSON.
"""

import json
import sys
import time
from datetime import datetime, timedelta, timezone

from elasticsearch import Elasticsearch, helpers

TRIES = 60


def main():
    url, key, run = sys.argv[1:4]
    count, rounds = int(sys.argv[4]), int(sys.argv[5])
    client = Elasticsearch(
        url, basic_auth=("tidegate", key), retry_on_status=(429, 502, 503, 504), retry_on_timeout=True, max_retries=3,
        http_compress=True, request_timeout=60,
    )
    print(json.dumps({"version": client.info()["version"]["number"]}), flush=True)
    start = datetime.now(timezone.utc) - timedelta(hours=1)
    done = 0
    for turn in range(rounds):
        if turn > 0:
            print(json.dumps({"round": turn, "documents": done}), flush=True)
            sys.stdin.readline()
        documents = [
            {
                "_op_type": "create",
                "_index": "logs-app-default",
                "_id": f"{run}-{n}",
                "@timestamp": (start + timedelta(milliseconds=n)).isoformat(),
                "message": f'line {n}: größer "than" that',
                "log.level": "warning" if n % 10 == 0 else "info",
                "host": {"name": f"web-{n % 4}"},
                "service": {"name": "checkout"},
                "n": n,
            }
            for n in range(turn * count, (turn + 1) * count)
        ]
        for _ in range(TRIES):
            try:
                added, errors = helpers.bulk(client, documents, chunk_size=250, raise_on_error=False)
            except Exception as error:
                print(type(error).__name__, error, file=sys.stderr, flush=True)
                time.sleep(0.25)
                continue
            # What was indexed before an attempt failed is there already.
            known = [error for error in errors if error["create"]["status"] == 409]
            if len(known) < len(errors):
                raise SystemExit(f"it could not be indexed: {errors[:3]}")
            done += added + len(known)
            break
        else:
            raise SystemExit("it could not be indexed")
    print(json.dumps({"round": rounds, "documents": done}), flush=True)


main()
