"""A load test of the reference model ``mlp``, for Locust.

    locust --headless --host http://127.0.0.1:8000 -u 16 -r 16 -t 10 --csv out

Exit status 1 when more than 1 % of the requests fail, or none was sent.
"""

import os
import random

from locust import FastHttpUser, constant, events, task

MODEL = os.environ.get("MODEL", "mlp")


def body() -> dict:
    row = [random.gauss(0, 1) for _ in range(128)]
    tensor = {"name": "INPUT__0", "shape": [1, 128], "datatype": "FP32", "data": row}
    return {"inputs": [tensor]}


def right(answer) -> bool:
    try:
        return answer.status_code == 200 and len(answer.json()["outputs"][0]["data"]) == 16
    except (KeyError, IndexError, TypeError, ValueError):
        return False


class Client(FastHttpUser):
    """Asks, waits for the answer, and asks again: as many in flight as there are users."""

    wait_time = constant(0)
    connection_timeout = network_timeout = 5.0

    def on_start(self) -> None:
        self.bodies = [body() for _ in range(16)]

    @task
    def infer(self) -> None:
        path = f"/v2/models/{MODEL}/infer"
        with self.client.post(path, json=random.choice(self.bodies), catch_response=True) as answer:
            if not right(answer):
                answer.failure(f"no 16 numbers came back (status {answer.status_code})")


@events.quitting.add_listener
def fail_when_it_failed(environment, **_: object) -> None:
    total = environment.stats.total
    if total.num_requests == 0 or total.fail_ratio > 0.01:
        environment.process_exit_code = 1
