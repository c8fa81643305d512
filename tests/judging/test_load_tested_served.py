"""LDT-01 against a model that fails some requests: whose count of errors is right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_triton.evidence import Evidence
from pytest_triton.factory import ServerFactory
from pytest_triton.handed_in import look
from pytest_triton.load_tested import judge
from pytest_triton.options import UNBOUNDED
from pytest_triton.own_models import CONFIG, write_python_model
from pytest_triton.settings import Settings
from pytest_triton.subject import Subject

#: Raised: Triton counts an error that a response carries as a success.
FAILS_SOME = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        given = [pb_utils.get_input_tensor_by_name(each, "IN").as_numpy() for each in requests]
        if any(each[0] < 0 for each in given):
            raise ValueError("less than nothing")
        return [pb_utils.InferenceResponse([pb_utils.Tensor("OUT", each)]) for each in given]
"""
SCRIPT = """
import http.client, json, os, threading, time
from urllib.parse import urlsplit

target, users = urlsplit(os.environ["TRITON_URL"]), int(os.environ["USERS"])
counts = [0, 0]
lock = threading.Lock()
end = time.monotonic() + 1.0

def user():
    connection = http.client.HTTPConnection(target.hostname, target.port, timeout=5)
    while time.monotonic() < end:
        with lock:
            counts[0] += 1
            value = -1 if counts[0] % 10 == 0 else 1
        body = {"inputs": [{"name": "IN", "shape": [1], "datatype": "INT32", "data": [value]}]}
        try:
            connection.request("POST", f"/v2/models/{os.environ['MODEL']}/infer", json.dumps(body))
            text = connection.getresponse().read()
        except OSError:
            connection.close()
            text = b""
        good = b"OUT" in text or FORGIVEN in text
        if not good:
            with lock:
                counts[1] += 1
            time.sleep(0.01)

threads = [threading.Thread(target=user) for _ in range(users)]
[each.start() for each in threads]
[each.join() for each in threads]
print(f"requests: {counts[0]}\\nerrors: {counts[1]}\\nusers: {users}")
"""


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    repository = tmp_path_factory.mktemp("repository")
    write_python_model(repository / "fails_some", FAILS_SOME, CONFIG)
    settings = Settings(device="cpu", allow_load=UNBOUNDED)
    with ServerFactory(settings, tmp_path_factory.mktemp("servers"), lambda _: None) as factory:
        found = Subject(factory(repository), settings)
        yield found
        found.close()


@pytest.mark.parametrize(
    ("forgiven", "reason"),
    [
        ('b"less than nothing"', r"the server: .*: 0 errors, and the server failed \d+ of \d+"),
        ('b"no such text"', r"the server: .*: \d+ of \d+ requests failed"),
    ],
)
def test_failures_are_the_servers(
    subject: Subject, tmp_path: Path, forgiven: str, reason: str
) -> None:
    (tmp_path / "loadtest.py").write_text(SCRIPT.replace("FORGIVEN", forgiven) + "# fails_some\n")
    evidence = Evidence("LDT-01", None)
    judge(subject, look(tmp_path), evidence)
    with pytest.raises(AssertionError, match=reason) as found:
        evidence.close()
    assert "that is not there" not in str(found.value)
    assert "answers 500" not in str(found.value)
