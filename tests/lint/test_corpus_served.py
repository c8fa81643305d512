"""Every case on a real Triton 24.10, and its verdict beside lint's.

One server holds the whole corpus and loads one model at a time. What would make it wait for
ever is found before, as the launcher does it. A server that a model takes down is replaced.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from lint_corpus import Case, Verdict, cases, disagreement, test_names, write_case

from pytest_triton.deployment import Deployment
from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.launch.screen import screen
from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe.types import ConnectionFailed, MalformedAnswer, RequestFailed
from pytest_triton.repository.lint import lint

pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

#: Seconds after which a load that has not been answered hangs.
PATIENCE = 60.0
#: Seconds that a server may take to die.
TRACE = 20.0


class Server:
    """The corpus as one repository, and a server that lives as long as its models let it."""

    def __init__(self, directory: Path) -> None:
        self.repository = directory / "repository"
        self.repository.mkdir()
        for case in cases():
            write_case(self.repository, case)
        self.log = directory / "server.log"
        self.screened = screen(self.repository).failed
        self._stack = ExitStack()
        self._deployment: Deployment | None = None
        self._verdicts: dict[str, Verdict] = {}

    def verdict(self, case: Case) -> Verdict:
        """What the server does with a case; looked up once."""
        if case.id not in self._verdicts:
            verdict = self._load(case)
            if verdict.outcome == "crashes":  # of this model, or of those before it?
                verdict = self._load(case)
            self._verdicts[case.id] = verdict
        return self._verdicts[case.id]

    def _load(self, case: Case) -> Verdict:
        if case.server == "unrun":
            return Verdict("unrun", case.why_unrun)
        if case.id in self.screened:
            return Verdict("hangs", self.screened[case.id])
        deployment = self._booted()
        begin = self.log.stat().st_size
        with HttpProbe(deployment.http_url, timeout=PATIENCE) as probe:
            try:
                probe.load(case.id, timeout=PATIENCE)
                ready = probe.model_ready(case.id)
            except RequestFailed as error:
                return Verdict("refused", f"{error}\n{self._logged(begin)}")
            except (ConnectionFailed, MalformedAnswer) as error:
                died = self._dies()
                reason = f"{error}\n{self._logged(begin)}"
                self.close()
                outcome = "crashes" if died else "hangs"
                return Verdict(outcome, f"no answer to the load: {reason}")
            probe.unload(case.id, dependents=True)
            self._wait_until_gone(probe, case.id)
        return Verdict("ready") if ready else Verdict("refused", self._logged(begin))

    def _wait_until_gone(self, probe: HttpProbe, model: str) -> None:
        """An unload is answered before it is done; the next load is not to pay for it."""
        deadline = time.monotonic() + PATIENCE
        while probe.model_ready(model) and time.monotonic() < deadline:
            time.sleep(0.02)

    def _booted(self) -> Deployment:
        if self._deployment is None:
            spec = ServerSpec(
                self.repository, (), release="24.10", device="cpu", auto_complete=True,
                log_path=self.log,
            )  # fmt: skip
            self._deployment = self._stack.enter_context(embedded(spec))
        return self._deployment

    def _dies(self) -> bool:
        """Whether tritonserver ends: it drops its connections first, and its trace takes time."""
        assert self._deployment is not None
        state = Path(f"/proc/{self._deployment.pid}/stat")
        deadline = time.monotonic() + TRACE
        while time.monotonic() < deadline:
            try:
                if state.read_text().rpartition(")")[2].split()[0] == "Z":
                    return True
            except OSError:
                return True
            time.sleep(0.05)
        return False

    def _logged(self, begin: int) -> str:
        with self.log.open("rb") as file:
            file.seek(begin)
            return file.read().decode("utf-8", "replace")

    def close(self) -> None:
        self._stack.close()
        self._deployment = None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("corpus"))
    yield made
    made.close()


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.id)
def test_the_server_does_what_the_case_says(server: Server, case: Case) -> None:
    verdict = server.verdict(case)
    if case.may_crash and verdict.outcome == "crashes":
        return
    assert verdict.outcome == case.server, f"{case.about}\n{verdict.reason}"
    assert case.text in verdict.reason


def test_lint_and_the_server_agree(server: Server, tmp_path: Path) -> None:
    rows, wrong = [], 0
    for case in cases():
        directory = tmp_path / case.id
        write_case(directory, case)
        errors = [
            f"{one.rule}@{one.line}" for one in lint(directory).findings if one.severity == "error"
        ]
        verdict = server.verdict(case)
        problem = disagreement(case, verdict, errors, set(test_names()))
        wrong += bool(problem)
        said = " ".join(errors) or "no error"
        rows.append(f"{case.id:<44} {verdict.outcome:<8} {said:<28} {problem}".rstrip())
    table = "\n".join([f"{'case':<44} {'server':<8} {'lint':<28}", *rows])
    assert not wrong, f"{wrong} of {len(rows)} disagree\n{table}"
