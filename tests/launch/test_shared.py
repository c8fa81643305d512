"""One server for several processes, as long as the controller lives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_triton.launch.ready import listens
from pytest_triton.launch.shared import LIFELINE, Controller

WORKER = """
import json, sys
from pathlib import Path
from pytest_triton.errors import ToolError
from pytest_triton.launch.embedded import ServerSpec
from pytest_triton.launch.shared import lease

def spec(lifeline):
    return ServerSpec(Path(sys.argv[2]), device="cpu", lifeline=lifeline)

try:
    print(lease(json.loads(sys.argv[1]), spec).to_json())
except ToolError as error:
    print("FAILED", error.message)
"""


def workers(controller: Controller, repository: Path, count: int) -> list[str]:
    arguments = [sys.executable, "-c", WORKER, json.dumps(controller.to_json()), str(repository)]
    started = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    return [process.communicate(timeout=60)[0].strip() for process in started]


def test_the_first_boots_and_all_share(repository: Path, model) -> None:
    model()
    controller = Controller()
    try:
        told = workers(controller, repository, 3)
        assert len(set(told)) == 1
        port = int(json.loads(told[0])["http_url"].rpartition(":")[2])
        assert listens(port)  # although every worker has ended
    finally:
        controller.close()
    assert not listens(port)
    assert not controller.directory.exists()


def test_a_failed_boot_is_tried_once(repository: Path, model) -> None:
    model(code=None)
    controller = Controller()
    try:
        told = workers(controller, repository, 2)
    finally:
        controller.close()
    assert len(set(told)) == 1
    assert 'model "tiny" did not load' in told[0]


def test_a_controller_that_is_killed(repository: Path, model, tmp_path: Path) -> None:
    model()
    code = (
        "import json, time\nfrom pytest_triton.launch.shared import Controller\n"
        "c = Controller(); print(json.dumps(c.to_json()), flush=True); time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        shared = json.loads(process.stdout.readline())
        told = subprocess.run(
            [sys.executable, "-c", WORKER, json.dumps(shared), str(repository)],
            capture_output=True, text=True, timeout=60, check=True,
        ).stdout  # fmt: skip
        port = int(json.loads(told)["http_url"].rpartition(":")[2])
        assert listens(port)
    finally:
        process.kill()
        process.wait(10)
    deadline = time.monotonic() + 8
    while listens(port) or Path(shared["directory"]).exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_nobody_asked_nothing_was_written() -> None:
    controller = Controller()
    assert not controller.directory.exists()
    controller.close()
    controller.close()
    assert not controller.directory.exists()


@pytest.mark.parametrize("times", [1])
def test_lifeline_that_is_gone_boots_nothing(times: int, repository: Path, model) -> None:
    from pytest_triton.errors import DeploymentFailed
    from pytest_triton.launch.embedded import ServerSpec, embedded

    model()
    controller = Controller()
    controller.close()
    spec = ServerSpec(repository, device="cpu", lifeline=controller.directory / LIFELINE)
    with pytest.raises(DeploymentFailed, match="lifeline"), embedded(spec):
        pass
