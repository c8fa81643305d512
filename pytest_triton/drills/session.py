"""All drills on a server of ours, one after the other, beside a healthy model that is asked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.drills.bystander import Bystander, Known
from pytest_triton.drills.files import file_drill
from pytest_triton.drills.injecting import deploy
from pytest_triton.drills.looking import Place
from pytest_triton.drills.processes import memory_drill, port_drill
from pytest_triton.drills.serving import SERVING_DRILLS, serving_drill
from pytest_triton.drills.table import FILE_DRILLS
from pytest_triton.drills.timeline import Timeline
from pytest_triton.factory import ServerFactory
from pytest_triton.settings import Settings
from pytest_triton.subject import Subject


@dataclass(frozen=True, slots=True, eq=False)
class Ward:
    """The drill server: the healthy model, what it answers, and where the others go."""

    server: Subject
    repository: Path
    healthy: str
    original: Path
    known: Known

    def place(self, model: str) -> Place:
        """Where a drill takes place."""
        return Place(self.server, self.repository, model, self.original, self.known)


def smallest_pytorch(subject: Subject) -> str:
    """The ready PyTorch model with the fewest bytes that answers one request with one response."""
    repository = subject.deployment.repository
    assert repository is not None
    names = [name for name in subject.pytorch if name in subject.unary]
    if not names:
        raise NotAssessed(Reason.NOT_APPLICABLE, "no PyTorch model answers without a state")

    def size(name: str) -> int:
        return sum(path.stat().st_size for path in (repository / name).rglob("*") if path.is_file())

    return min(names, key=lambda name: (size(name), name))


def known_answer(subject: Subject, model: str) -> Known:
    """A request of the subject, and the answer that is its own again and again.

    NotAssessed where it is not: what is right cannot be told then.
    """
    case = subject.case(model)
    answer = subject.answer(model, case)
    known = Known(case, answer, *subject.rounding(case, answer.outputs))
    if text := known.wrong(subject.answer(model, case)):
        raise NotAssessed(
            Reason.NOT_APPLICABLE, f"{model} answers one request in several ways: {text}"
        )
    return known


@contextmanager
def ward(subject: Subject, settings: Settings, factory: ServerFactory) -> Iterator[Ward]:
    """The drill server, with a copy of the subject's smallest PyTorch model on it."""
    repository = subject.deployment.repository
    assert repository is not None
    model = smallest_pytorch(subject)
    known = known_answer(subject, model)
    with tempfile.TemporaryDirectory(prefix="pytest-triton-drills-") as scratch:
        place = Path(scratch) / "models"
        deploy(repository / model, place / model)
        deployment = factory(place, (model,))
        server = Subject(deployment, settings)
        try:
            yield Ward(server, place, model, repository / model, known)
        finally:
            server.close()
            factory.stop(deployment)


def drilled(subject: Subject, settings: Settings, factory: ServerFactory) -> list[Timeline]:
    """Every drill, each with what is wrong. Raises SubjectFault when no server boots for them.

    Those with servers of their own go on beside the others.
    """
    with ward(subject, settings, factory) as made, ThreadPoolExecutor(1) as beside:
        place = made.place
        with Bystander(made.server.deployment.http_url, made.healthy, made.known) as healthy:
            servers = beside.submit(
                lambda: [
                    port_drill(place(made.healthy), settings, factory, made.repository.parent),
                    memory_drill(place(made.healthy), settings, factory),
                ]
            )
            lines = [file_drill(place(drill.model), drill) for drill in FILE_DRILLS]
            lines += [serving_drill(place(drill.model), drill) for drill in SERVING_DRILLS]
            lines += servers.result()
    for line in lines:
        meanwhile = dict.fromkeys(healthy.wrong(line.began, line.ended))
        line.findings += [
            f"meanwhile the healthy model {made.healthy} {text}" for text in list(meanwhile)[:2]
        ]
    return lines
