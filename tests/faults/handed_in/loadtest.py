"""A load test of ``mlp`` with the standard library: as many threads as there are users."""

import http.client
import json
import os
import sys
import threading
import time
from urllib.parse import urlsplit

TARGET = urlsplit(os.environ["TRITON_URL"])
PATH = f"/v2/models/{os.environ['MODEL']}/infer"
USERS = int(os.environ["USERS"])
DURATION = float(os.environ["DURATION"])
TENSOR = {"name": "INPUT__0", "shape": [1, 128], "datatype": "FP32", "data": [0.5] * 128}
BODY = json.dumps({"inputs": [TENSOR]})


def ask(connection):
    connection.request("POST", PATH, BODY, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    return answer.status == 200 and len(json.loads(text)["outputs"][0]["data"]) == 16


def user(counts):
    connection = http.client.HTTPConnection(TARGET.hostname, TARGET.port, timeout=5)
    while time.monotonic() < END:
        counts[0] += 1
        try:
            good = ask(connection)
        except (OSError, http.client.HTTPException, ValueError, LookupError):
            connection.close()
            good = False
        if not good:
            counts[1] += 1
            time.sleep(0.01)


END = time.monotonic() + DURATION
every = [[0, 0] for _ in range(USERS)]
threads = [threading.Thread(target=user, args=(counts,)) for counts in every]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
requests = sum(counts[0] for counts in every)
errors = sum(counts[1] for counts in every)
print(f"requests: {requests}\nerrors: {errors}\nusers: {USERS}")
sys.exit(1 if not requests or errors > 0.01 * requests else 0)
