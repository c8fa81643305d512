"""TRB-02: a script that diagnoses, run against a server of ours with one fault after another."""

from __future__ import annotations

import math
import random
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.drills import injecting
from pytest_triton.drills.carrying import REPAIR_S, SETTLED_S, wrong
from pytest_triton.drills.injecting import Injection, LeftOut, deploy, heavy
from pytest_triton.drills.looking import Place, refusal
from pytest_triton.drills.serving import kill_stub, source, wrong_echo
from pytest_triton.drills.session import Ward, ward
from pytest_triton.drills.vocabulary import NONE, read
from pytest_triton.errors import SubjectFault
from pytest_triton.evidence import Evidence
from pytest_triton.factory import ServerFactory
from pytest_triton.load.scripts.running import ran
from pytest_triton.own_models import write_python_model
from pytest_triton.probe.http import wait_until
from pytest_triton.settings import Settings
from pytest_triton.subject import Subject

#: Seconds for one run of the script, and the share of faults that it has to name.
DEADLINE_S, RIGHT = 20.0, 0.8
#: Kind -> how a copy of the subject's model is broken; each is refused when it is loaded.
INJECTIONS: Mapping[str, Injection] = {
    "dims": injecting.wrong_dims,
    "datatype": injecting.wrong_datatype_warmed,
    "version": injecting.no_version,
    "file": injecting.wrong_file_name,
    "corrupt": injecting.corrupt_file,
    "config": injecting.broken_config,
}
STUB = "stub"


@dataclass(frozen=True, slots=True)
class Ailing:
    """What a script is told of a server: URLs, its log since all was well, and a copy of its
    repository."""

    url: str
    metrics_url: str
    log: Path
    repository: Path
    deadline_s: float = DEADLINE_S

    @property
    def ports(self) -> tuple[int, ...]:
        return (urlsplit(self.url).port or 0,)

    @property
    def reads(self) -> tuple[Path, ...]:
        return (self.log, self.repository)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "TRITON_URL": self.url,
            "TRITON_METRICS_URL": self.metrics_url,
            "TRITON_LOG": str(self.log),
            "TRITON_REPOSITORY": str(self.repository),
        }

    @property
    def arguments(self) -> list[str]:
        return [
            "--url", self.url, "--metrics-url", self.metrics_url, "--log", str(self.log),
            "--repository", str(self.repository),
        ]  # fmt: skip


@dataclass(slots=True)
class Clinic:
    """The server, the script, and what it said of each state."""

    ward: Ward
    directory: Path
    script: Path
    evidence: Evidence
    #: Kind -> what is wrong with the diagnosis; "": it is right.
    found: dict[str, str] = field(default_factory=dict)

    def visit(self, kind: str) -> None:
        """Bring the server into a state, run the script, and mend it."""
        place = self.ward.place(f"model_{secrets.token_hex(4)}")
        if kind == NONE:
            self._diagnose(place, kind, place.server.deployment.log_text())
        elif kind == STUB:
            self._dead(place)
        else:
            self._refused(place, kind)

    def _refused(self, place: Place, kind: str) -> None:
        http, before = place.server.http, place.server.deployment.log_text()
        deploy(place.original, place.directory)
        try:
            INJECTIONS[kind](place.directory, place.known)
        except LeftOut:
            shutil.rmtree(place.directory)
            return
        if not refusal(lambda: http.load(place.model, timeout=REPAIR_S)):
            raise SubjectFault(f"{kind}: a model with this fault is loaded as if it had none")
        self._diagnose(place, kind, before)
        deploy(place.original, place.directory)
        http.load(place.model, timeout=REPAIR_S)
        if not wait_until(lambda: not wrong(place), timeout=SETTLED_S):
            raise SubjectFault(f"{kind}: put right again, {wrong(place)}")

    def _dead(self, place: Place) -> None:
        write_python_model(place.directory, source("pass"))
        place.server.http.load(place.model, timeout=REPAIR_S)
        if text := wrong_echo(place):
            raise SubjectFault(f"a model of ours is not right: {text}")
        before = place.server.deployment.log_text()
        kill_stub(place)
        self._diagnose(place, STUB, before)

    def _diagnose(self, place: Place, kind: str, before: str) -> None:
        """Run the script; one that comes to no orderly end is run no more."""
        deployment = place.server.deployment
        with tempfile.TemporaryDirectory(prefix="pytest-triton-diagnose-") as scratch:
            log, repository = Path(scratch) / "server.log", Path(scratch) / "models"
            log.write_text(deployment.log_text()[len(before) :], "utf-8")
            shutil.copytree(place.repository, repository)
            told = Ailing(deployment.http_url, str(deployment.metrics_url), log, repository)
            with ran(self.directory, self.script, told) as run:
                self.evidence.attach(
                    f"{kind}.txt",
                    f"{kind} of {place.model}\nexit status {run.status}, {run.seconds:.1f} s "
                    f"{run.stopped}\n--- stdout\n{run.stdout}\n--- stderr\n{run.stderr}",
                )
                assert not run.fault, f"{_state(kind)}: {run.fault}"
                text = read(run.stdout).wrong(place.model, kind)
                if text and run.status:
                    last = (run.stderr.strip().splitlines() or [""])[-1][:200]
                    text = f"{text} (exit status {run.status}: {last})"
                self.found[kind] = text


def _state(kind: str) -> str:
    return "the healthy server" if kind == NONE else f"the fault {kind}"


def judge(
    subject: Subject,
    settings: Settings,
    factory: ServerFactory,
    directory: Path,
    script: Path,
    evidence: Evidence,
) -> None:
    """Run a script of ``directory`` on every state; findings go to ``evidence``.

    Raises AssertionError for one that comes to no orderly end, TooLarge for what is not copied.
    """
    evidence.locate(str(script.relative_to(directory)))
    with ward(subject, settings, factory) as made:
        if heavy(made.original):
            raise NotAssessed(
                Reason.NOT_APPLICABLE, "no PyTorch model is small enough for copies of it"
            )
        clinic = Clinic(made, directory, script, evidence)
        # In no order that could be known; the dead process last, for it stays in the log.
        order = [NONE, *INJECTIONS]
        random.Random(settings.seed).shuffle(order)
        for kind in (*order, STUB):
            clinic.visit(kind)
    found = dict(clinic.found)
    evidence.attach("diagnoses.json", {kind: text or "right" for kind, text in found.items()})
    alarm = found.pop(NONE)
    with evidence.case("the healthy server"):
        assert not alarm, alarm
    right, need = sum(not text for text in found.values()), math.ceil(RIGHT * len(found))
    evidence.measure("right diagnoses", right, "faults", budget=need)
    with evidence.case("the faults"):
        assert right >= need, (
            f"{right} of {len(found)} are right, {need} are asked for: "
            + "; ".join(f"{kind}: {text}" for kind, text in found.items() if text)
        )
