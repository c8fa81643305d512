"""Why a boot failed: the reason out of the log or the index, and where to look."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pytest_triton.deployment import tail
from pytest_triton.errors import DeploymentFailed
from pytest_triton.launch.reasons import bare, explain, shown

_MAX_LOG = 16 * 1024 * 1024
_HEAD = re.compile(
    r"^(?:([IWEF])\d{4} [\d:.]+ +\d+|[\d:TZ-]+ +\d+ ([IWEF])) ([\w./-]+:\d+)\] ?", re.MULTILINE
)
_IN_USE = re.compile(r"Socket '([^']+)' already in use|Address already in use")
_PARSE = "Error parsing text-format"
#: What stubs and their shell say when they end before they could report to the server.
_STUB_DEATHS = (
    "Failed to preinitialize Python stub:",
    "error while loading shared libraries:",
    "terminate called after throwing",
    "bash: ",
    "Fatal Python error",
    "Segmentation fault",
)
#: What a crash of the Python backend leaves in the log.
_LOCK = "boost::interprocess::lock_exception"


class PortTaken(DeploymentFailed):
    """Somebody else took a port between its choice and its use."""


class BackendCrashed(DeploymentFailed):
    """The Python backend ended the server by a lock of its own, as it does now and then on a busy
    machine (triton-inference-server/server#8882); a model is no cause of it."""


class Message(NamedTuple):
    """One entry of the server's log."""

    severity: str
    source: str
    text: str


def messages(log: str) -> Iterator[Message]:
    """The entries of a log in Triton's format; what precedes the first is left out."""
    heads = list(_HEAD.finditer(log))
    for head, following in zip(heads, [*heads[1:], None], strict=False):
        text = log[head.end() : following.start() if following else len(log)].strip()
        if text.startswith('"'):
            # Later releases quote their text, and raw output of stubs may follow it.
            quoted = re.match(r'"(?:[^"\\]|\\.)*"', text)
            if quoted:
                try:
                    text = str(json.loads(quoted[0], strict=False)) + text[quoted.end() :]
                except ValueError:
                    text = text[1:-1]
        yield Message(head[1] or head[2], head[3], text)


@dataclass
class Story:
    """One boot, and what its log tells of it."""

    log: Path
    #: Where the log is found afterwards; None: it goes with the server.
    kept: Path | None
    repository: Path
    version: str
    timeout: float
    #: The repository as the server sees it, when that is another path.
    alias: Path | None = None

    @property
    def server(self) -> str:
        return f"Triton {self.version}, embedded" if self.version else "Triton, embedded"

    def text(self) -> str:
        """What this boot logged."""
        try:
            with self.log.open("rb") as file:
                text = file.read(_MAX_LOG).decode("utf-8", "replace")
        except OSError:
            return ""
        return text.replace(str(self.alias), str(self.repository)) if self.alias else text

    def _failure(self, message: str, kind: type[DeploymentFailed] = DeploymentFailed, **about: Any
                 ) -> DeploymentFailed:  # fmt: skip
        log_tail = tail(self.log) if self.log.is_file() else ""
        return kind(f"{message} ({self.server})", log_path=self.kept, log_tail=log_tail, **about)

    def ended(self, status: int | None) -> DeploymentFailed:
        """The server process ended before it was ready."""
        log = self.text()
        errors = [entry.text for entry in messages(log) if entry.severity in "EF"]
        if _IN_USE.search("\n".join(errors)):
            reason = next(text for text in reversed(errors) if _IN_USE.search(text))
            return self._failure(
                "the server could not open its ports",
                PortTaken,
                reason=bare(reason),
                remedy="end the process that holds the port, or choose another one",
            )
        if _LOCK in log:
            return self._failure(
                "the Python backend crashed while the server started", BackendCrashed,
                reason=_LOCK, remedy="try again, on a machine with less load",
            )  # fmt: skip
        if status is not None and status < 0:
            name = signal.Signals(-status).name
            memory = "; the kernel does that when memory runs out" if name == "SIGKILL" else ""
            return self._failure(
                "the server was killed while it started", reason=f"by {name}{memory}",
                remedy="look at the log, and at the free memory (pytest-triton doctor)",
            )  # fmt: skip
        first = log.strip().splitlines()[:1]
        usage = "Usage: tritonserver" in log
        reason = first[0] if usage and first else (errors or first or ["it logged nothing"])[-1]
        return self._failure(
            f"the server ended with status {status} while it started",
            reason=bare(reason),
            remedy="correct the server's flags" if usage else "run  pytest-triton doctor",
        )

    def not_live(self) -> DeploymentFailed:
        """The server answers, and says that it could not initialise itself."""
        errors = [entry for entry in messages(self.text()) if entry.severity in "EF"]
        own = [entry.text for entry in errors if entry.source.startswith("tritonserver.cc")]
        reason = (own or [entry.text for entry in errors] or ["it logged no error"])[-1]
        return self._failure(
            "the server failed to initialise", reason=bare(reason),
            remedy="correct the server's flags",
        )  # fmt: skip

    def too_late(self, processes: Sequence[str] = ()) -> DeploymentFailed:
        """The deadline passed; ``processes`` are command lines of what runs below the server."""
        log = self.text()
        stuck = stuck_models(log)
        deaths = [line.strip() for line in log.splitlines()
                  if any(death in line for death in _STUB_DEATHS)]  # fmt: skip
        failures = {name: self._stuck(name, deaths, processes) for name in stuck}
        if not failures:
            errors = [entry.text for entry in messages(log) if entry.severity in "EF"]
            return self._failure(
                f"the server was not ready within {self.timeout:g} s",
                reason=bare((errors or deaths or ["it logged no error"])[-1]),
                remedy="give it more time with --triton-boot-timeout, or look at the log",
            )
        model = next(iter(failures))
        files = sorted((self.repository / model).glob("*/model.py"), reverse=True)
        return self._failure(
            f'model "{model}" was still loading after {self.timeout:g} s, and the whole server '
            "waits for it",
            model=model,
            reason=failures[model],
            location=(shown(files[0] if files else self.repository / model), 0),
            remedy="make its import and initialize return, or allow more time with "
            "--triton-boot-timeout",
            failures=failures,
        )

    def _stuck(self, model: str, deaths: Sequence[str], processes: Sequence[str]) -> str:
        said = [line for line in deaths if f"/{model}/" in line] or (
            list(deaths) if len(deaths) == 1 else []
        )
        if said:
            return re.sub(r"^[IWEF]\d{4} .*?\] +", "", said[-1])
        if any(f"/{model}/" in line or f" {model}_" in line for line in processes):
            return "its Python process still runs, in an import or in initialize"
        return "its Python process ended without a word (os._exit, a crash?) while it loaded"

    def failures(self, index: Sequence[Mapping[str, Any]], models: Sequence[str]) -> dict[str, str]:
        """model -> reason, for every expected model that is not READY in the index."""
        failed = {}
        log: str | None = None
        for name in models:
            entries = [item for item in index if item.get("name") == name]
            ready = any(item.get("state") == "READY" for item in entries)
            bad = [item for item in entries if item.get("state") != "READY"]
            bad = [item for item in bad if item.get("reason") != "unloaded"]
            if ready and not bad:
                continue
            said = next((item for item in bad if item.get("reason")), None)
            if said is not None:
                version = f"version {said.get('version')}: " if len(entries) > 1 else ""
                reason = f"{version}{said['reason']}"
                failed[name] = (
                    reason.replace(str(self.alias), str(self.repository)) if self.alias else reason
                )
                continue
            if log is None:
                log = self.text()
            failed[name] = poll_failure(log, name) or self._absent(name)
        return failed

    def _absent(self, name: str) -> str:
        if not (self.repository / name).is_dir():
            return f"there is no directory {name} in the repository"
        return "the server lists it without a state and logged no reason"

    def failed(self, failures: Mapping[str, str]) -> DeploymentFailed:
        """Models that are not ready; the first that is no mere consequence gives its name."""
        model = min(failures, key=lambda name: "not available or ambiguous" in failures[name])
        location, remedy = explain(failures[model], model, self.repository)
        return self._failure(
            f'model "{model}" did not load',
            reason=bare(failures[model]),
            model=model,
            location=location,
            remedy=remedy,
            failures={name: bare(reason) for name, reason in failures.items()},
        )


def poll_failure(log: str, model: str) -> str:
    """Why Triton did not even try to load a model: only its log says so."""
    for entry in messages(log):
        text = entry.text
        for start in (f"Poll failed for model directory '{model}': ",
                      f"failed to load model '{model}': "):  # fmt: skip
            if text.startswith(start):
                reason = text.removeprefix(start)
                if "failed to read text proto" in reason:
                    reason = f"{_parse_error(log, model)}{reason}"
                return reason.strip()
    return ""


def _parse_error(log: str, model: str) -> str:
    """protobuf's own line, which comes just before the one that names the model."""
    before = log[: log.find(f"Poll failed for model directory '{model}'")]
    start = before.rfind(_PARSE)
    return before[start:].splitlines()[0] + "\n" if start >= 0 else ""


def stuck_models(log: str) -> list[str]:
    """Models that Triton began to load and neither loaded nor gave up."""
    begun: dict[str, None] = {}
    for entry in messages(log):
        if found := re.match(
            r"loading: (.+):\d+$", entry.text.splitlines()[0] if entry.text else ""
        ):
            begun[found[1]] = None
        elif found := re.match(r"(?:successfully loaded|failed to load) '(.+?)'", entry.text):
            begun.pop(found[1], None)
    return list(begun)
