"""A worker: Locust users that send prepared requests, and keep every latency as it was.

Locust's own statistics round latencies to 1 ms or two digits; what is measured here travels to the
master in messages of our own. Run as a program:  worker.py HOST PORT  (of the master).
"""

# Locust patches the standard library for gevent when it is imported: it comes first.
from locust import User, constant, task  # isort: skip
from locust.env import Environment  # isort: skip

import random
import sys
import time
from array import array
from collections import Counter
from typing import Any

import gevent

from pytest_triton.load.locusting.exchange import Exchange, Failed

#: Messages between master and worker.
JOB, READY, COLLECT, RESULT = "triton_job", "triton_ready", "triton_collect", "triton_result"
#: Bytes of answers that a worker keeps for the check of their content.
SAMPLES = 8 << 20


class Tally:
    """What the users of one worker did. Times are of the monotonic clock, in seconds."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job = job
        self.latency_us = array("d")
        self.errors: Counter[str] = Counter()
        self.samples: list[tuple[int, int, bytes]] = []
        self.sampled = 0
        self.sent = self.in_window = self.in_flight = 0
        self.users: set[int] = set()
        self.opens = self.closes = float("inf")
        self.cpu = 0.0

    def begin(self) -> None:
        """The first user is there: the window opens after the warm-up."""
        if self.opens == float("inf"):
            self.opens = time.monotonic() + self.job["warmup_s"]
            self.closes = self.opens + self.job["duration_s"]
            self.cpu = time.process_time()

    def result(self) -> dict[str, Any]:
        """For the master: latencies as raw doubles."""
        return {
            "latency_us": self.latency_us.tobytes(),
            "errors": dict(self.errors.most_common(20)),
            "failed": self.errors.total(),
            "samples": self.samples,
            "sent": self.sent,
            "in_window": self.in_window,
            "in_flight": self.in_flight,
            "users": len(self.users),
            "cpu_s": time.process_time() - self.cpu,
        }


class PreparedUser(User):
    """Asks, reads the answer, asks again: one request in flight."""

    wait_time = constant(0)
    tally: Tally

    def on_start(self) -> None:
        job = self.tally.job
        self.exchange = Exchange(job["host"], job["port"], job["timeout_s"])
        self.order = random.Random(f"{job['seed']} {id(self)}")
        self.tally.begin()

    def on_stop(self) -> None:
        self.exchange.close()

    @task
    def ask(self) -> None:
        """One request; it counts when its answer came in the window, or was due then."""
        tally = self.tally
        started = time.monotonic()
        if started >= tally.closes:
            gevent.sleep(1.0)
            return
        wire = tally.job["wire"]
        index = self.order.randrange(len(wire))
        tally.users.add(id(self))
        tally.sent += 1
        tally.in_flight += 1
        failure: str | None = None
        json_length, body = -1, b""
        try:
            json_length, body = self.exchange.ask(wire[index])
        except Failed as error:
            failure = str(error)[:200]
        finally:
            tally.in_flight -= 1
        ended = time.monotonic()
        if ended >= tally.opens:
            self.count(index, (ended - started) * 1e6, failure, json_length, body)
            tally.in_window += failure is None and ended <= tally.closes
        self.environment.events.request.fire(
            request_type="POST", name="infer", response_time=(ended - started) * 1e3,
            response_length=len(body), exception=Failed(failure) if failure else None, context={},
        )  # fmt: skip
        if failure:
            gevent.sleep(0.01)  # a server that refuses is not to be stormed

    def count(
        self, index: int, latency_us: float, failure: str | None, json_length: int, body: bytes
    ) -> None:
        """Count one answer of the window; keep one of so many."""
        tally = self.tally
        if failure is not None:
            tally.errors[failure] += 1
            return
        tally.latency_us.append(latency_us)
        if len(tally.latency_us) % tally.job["check_every"] == 0 and tally.sampled < SAMPLES:
            tally.sampled += len(body)
            tally.samples.append((index, max(json_length, 0), body))


def main(host: str, port: int) -> None:
    """Join a master and do what it says, until it says that it is over."""
    environment = Environment(user_classes=[PreparedUser])
    runner = environment.create_worker_runner(host, port)

    def prepare(environment: Any, msg: Any, **_: Any) -> None:
        PreparedUser.tally = Tally(msg.data)
        runner.send_message(READY, None)

    def hand_over(environment: Any, msg: Any, **_: Any) -> None:
        tally = PreparedUser.tally
        deadline = time.monotonic() + tally.job["timeout_s"]
        while tally.in_flight and time.monotonic() < deadline:
            gevent.sleep(0.01)
        runner.send_message(RESULT, tally.result())

    runner.register_message(JOB, prepare)
    runner.register_message(COLLECT, hand_over, concurrent=True)
    runner.greenlet.join()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
