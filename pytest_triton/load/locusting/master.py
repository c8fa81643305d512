"""The master: waits for workers, hands them the job, collects what they measured.

Run as a program: a line of JSON comes in, lines of JSON go out: ``progress``, then ``results`` or
``error``. It ends when its input ends.
"""

# Locust patches the standard library for gevent when it is imported: it comes first.
from locust.env import Environment  # isort: skip

import base64
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import gevent

from pytest_triton.load.locusting.worker import COLLECT, JOB, READY, RESULT, PreparedUser

#: Seconds between two looks.
LOOK = 0.05


class Lost(Exception):
    """Something that a measurement needs did not come, or went."""


def say(**told: Any) -> None:
    """One line to whoever started us."""
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for a condition. Raises Lost after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Lost(f"{what} within {seconds:g} s")
        gevent.sleep(LOOK)


def drive(job: dict[str, Any]) -> list[dict[str, Any]]:
    """What each worker measured. Raises Lost."""
    environment = Environment(user_classes=[PreparedUser])
    runner = environment.create_master_runner(job["bind"], job["bind_port"])
    ready: set[str] = set()
    results: dict[str, Any] = {}
    runner.register_message(READY, lambda environment, msg, **_: ready.add(msg.node_id))
    runner.register_message(
        RESULT, lambda environment, msg, **_: results.setdefault(msg.node_id, msg.data)
    )
    expected = job["expect_workers"]
    try:
        say(progress=f"waiting for {expected} workers on port {job['bind_port']}")
        until(
            lambda: runner.worker_count >= expected,
            job["workers_within_s"],
            f"{expected} workers did not come",
        )
        told = {key: job[key] for key in (
            "host", "port", "timeout_s", "warmup_s", "duration_s", "check_every", "seed",
        )}  # fmt: skip
        runner.send_message(JOB, {**told, "wire": [base64.b64decode(one) for one in job["wire"]]})
        until(lambda: len(ready) >= expected, 30, "the workers did not take their requests")
        say(progress="measuring")
        runner.start(job["users"], spawn_rate=job["users"])
        ends = time.monotonic() + job["warmup_s"] + job["duration_s"] + 1
        while time.monotonic() < ends:
            gevent.sleep(LOOK)
            if runner.worker_count < expected:
                raise Lost(f"{expected - runner.worker_count} of {expected} workers were lost")
        runner.send_message(COLLECT, None)
        until(
            lambda: len(results) >= expected,
            job["timeout_s"] + 30,
            f"{expected} workers did not tell what they measured",
        )
    finally:
        runner.quit()
    return list(results.values())


def main() -> None:
    """Do one job."""
    job = json.loads(sys.stdin.readline())
    gevent.get_hub().threadpool.spawn(_ends_with_input)
    try:
        results = drive(job)
    except Lost as error:
        say(error=str(error))
        return
    for result in results:
        result["latency_us"] = base64.b64encode(result["latency_us"]).decode()
        result["samples"] = [
            (index, length, base64.b64encode(body).decode())
            for index, length, body in result["samples"]
        ]
    say(results=results)


def _ends_with_input() -> None:
    if not os.read(0, 1):
        os._exit(1)


if __name__ == "__main__":
    main()
