"""An ensemble and its step: what an unload of one and a load of the other do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

import numpy as np

from pytest_triton.probe.http import wait_until
from pytest_triton.probe.shared import said
from pytest_triton.probe_set import ADDSUB, CHAIN
from pytest_triton.subject import Subject

#: A repository and a model that no server has: nothing changes if a request for them is obeyed.
REPOSITORY, NOBODY = "pytest_triton_no_such_repository", "pytest_triton_no_such_model"
#: Seconds in which an unload has to be done.
PATIENCE = 10.0
MODELS = (ADDSUB, CHAIN)


def named_repository(subject: Subject) -> list[tuple[str, Callable[[], Any]]]:
    """Requests that name a repository, over HTTP and gRPC; the model is nobody's."""
    from tritonclient.grpc import service_pb2 as pb

    grpc = subject.grpc
    assert grpc is not None

    def post(verb: str) -> Any:
        path = f"/v2/repository/{quote(REPOSITORY)}/models/{NOBODY}/{verb}"
        return said(subject.http.request("POST", path, body=b"{}"))

    load = pb.RepositoryModelLoadRequest(repository_name=REPOSITORY, model_name=NOBODY)
    unload = pb.RepositoryModelUnloadRequest(repository_name=REPOSITORY, model_name=NOBODY)
    index = pb.RepositoryIndexRequest(repository_name=REPOSITORY)
    return [
        ("HTTP load", partial(post, "load")),
        ("HTTP unload", partial(post, "unload")),
        ("gRPC load", partial(grpc.call, "RepositoryModelLoad", load)),
        ("gRPC unload", partial(grpc.call, "RepositoryModelUnload", unload)),
        ("gRPC index", partial(grpc.call, "RepositoryIndex", index)),
    ]


@dataclass(frozen=True, slots=True)
class Stepped:
    """Which of the two models were ready after each request, and the first element of SUM."""

    step_unloaded: list[str]
    ensemble_loaded: list[str]
    ensemble_unloaded: list[str]
    both_unloaded: list[str]
    answer: int
    wanted: int


def _unload(subject: Subject, model: str, *, dependents: bool, gone: tuple[str, ...]) -> list[str]:
    """Unload, wait for what has to go, and tell which of the two models are ready."""
    subject.http.unload(model, dependents=dependents)
    wait_until(lambda: not set(gone) & set(_ready(subject)), timeout=PATIENCE, interval=0.1)
    return _ready(subject)


def _ready(subject: Subject) -> list[str]:
    return [name for name in MODELS if subject.http.model_ready(name)]


def unload_steps(subject: Subject) -> Stepped:
    """Unload the step, load the ensemble, unload it without and with its step; load both again."""
    try:
        step = _unload(subject, ADDSUB, dependents=False, gone=MODELS)
        subject.load(CHAIN)
        loaded = _ready(subject)
        value = 1 + subject.settings.seed % 1000
        one = np.full((1, 16), value, dtype=np.int32)
        answer = subject.http.infer(CHAIN, {"INPUT0": one, "INPUT1": np.zeros_like(one)})
        total = answer.outputs.get("SUM", np.zeros(1))
        alone = _unload(subject, CHAIN, dependents=False, gone=(CHAIN,))
        subject.load(CHAIN)
        both = _unload(subject, CHAIN, dependents=True, gone=MODELS)
        return Stepped(step, loaded, alone, both, int(total.reshape(-1)[0]), 2 * value)
    finally:
        for name in MODELS:
            subject.load(name)
