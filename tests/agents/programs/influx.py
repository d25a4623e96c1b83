"""Writes points by a client library of InfluxDB: of version 1, 2 or 3, as its users do.

Usage: influx.py 1|2|3 URL KEY RUN COUNT ROUNDS: in each round COUNT points. Between two rounds it waits for a line on
its standard input. At the end it prints how many were written, as JSON.
"""

import json
import sys
import time
from datetime import datetime, timedelta, timezone
from urllib.parse import urlsplit

RETRY_MS, TRIES = 250, 240
START = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(hours=1)


def point(run, n):
    """One with each kind of field, and text that has to be escaped."""
    return {
        "measurement": "line load",
        "tags": {"host": f"web-{n % 4}", "room": "größe, 1=2", "run": run},
        "fields": {"n": n, "half": n / 2, "on": n % 2 == 0, "says": 'a "b" \\ c'},
        "time": START + timedelta(microseconds=n),
    }


def version_1(url, key):
    from influxdb import InfluxDBClient

    at = urlsplit(url)
    client = InfluxDBClient(at.hostname, at.port, "tidegate", key, "trial", retries=1, gzip=True)
    print(json.dumps({"ping": client.ping()}), flush=True)

    def write(points):
        for _ in range(TRIES):
            try:
                return client.write_points(points, time_precision="u", batch_size=500)
            except Exception as error:
                print(error, file=sys.stderr)
                time.sleep(RETRY_MS / 1000)
        raise SystemExit("it could not be written")

    return write, client.close


def version_2(url, key):
    from influxdb_client import InfluxDBClient, WriteOptions

    client = InfluxDBClient(url=url, token=key, org="default", enable_gzip=True)
    print(json.dumps({"ping": client.ping()}), flush=True)
    lost = []
    options = WriteOptions(
        batch_size=500, flush_interval=100, jitter_interval=0, retry_interval=RETRY_MS, max_retries=TRIES,
        max_retry_delay=1000, exponential_base=1,
    )
    api = client.write_api(write_options=options, error_callback=lambda _conf, _data, error: lost.append(str(error)))

    def close():
        api.close()
        client.close()
        if lost:
            raise SystemExit(f"it could not be written: {lost[0]}")

    return lambda points: api.write(bucket="trial", record=points), close


def version_3(url, key):
    from influxdb_client_3 import InfluxDBClient3, WriteOptions, write_client_options

    lost = []
    options = WriteOptions(
        batch_size=500, flush_interval=100, jitter_interval=0, retry_interval=RETRY_MS, max_retries=TRIES,
        max_retry_delay=1000, exponential_base=1, use_v2_api=False,
    )
    callbacks = write_client_options(
        write_options=options, error_callback=lambda _conf, _data, error: lost.append(str(error))
    )
    client = InfluxDBClient3(host=url, token=key, database="trial", write_client_options=callbacks)

    def close():
        client.close()
        if lost:
            raise SystemExit(f"it could not be written: {lost[0]}")

    return lambda points: client.write(points), close


def main():
    version, url, key, run = sys.argv[1:5]
    count, rounds = int(sys.argv[5]), int(sys.argv[6])
    write, close = {"1": version_1, "2": version_2, "3": version_3}[version](url, key)
    for turn in range(rounds):
        if turn > 0:
            print(json.dumps({"round": turn, "points": turn * count}), flush=True)
            sys.stdin.readline()
        write([point(run, n) for n in range(turn * count, (turn + 1) * count)])
    close()
    print(json.dumps({"round": rounds, "points": rounds * count}), flush=True)


main()
