"""What a test hands to the report: numbers, files, places, and findings per model."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_triton.charted import Charted
from pytest_triton.criteria.outcome import Measurement
from pytest_triton.criteria.status import NotAssessed, Reason
from pytest_triton.errors import Findings, SubjectFault
from pytest_triton.restricted import restriction
from pytest_triton.wording import words

if TYPE_CHECKING:
    from pytest_triton.probe.transcript import Transcript


class Evidence(Charted):
    """Collects what one test saw. Files go below ``directory``; without one nothing is written."""

    def __init__(self, clause: str | None, directory: Path | None) -> None:
        self.clause = clause
        self._directory = directory
        self.measurements: list[dict[str, Any]] = []
        self.files: list[dict[str, Any]] = []
        self.locations: list[dict[str, Any]] = []
        self.model: str | None = None
        #: What is asked of servers meanwhile; None where nobody would read it.
        self.transcript: Transcript | None = None
        #: Whether the server is somebody else's, who may restrict its APIs.
        self.endpoint = False
        self._findings: list[str] = []
        self._open: list[tuple[str, NotAssessed]] = []
        self._judged = 0

    def measure(
        self,
        name: str,
        value: float,
        unit: str,
        *,
        interval: tuple[float, float] | None = None,
        budget: float | None = None,
        margin: float | None = None,
        samples: Sequence[float] | Mapping[str, Any] | None = None,
        statistic: str | None = None,
        better: Literal["lower", "higher", "none"] | None = None,
        kept: Any = None,
    ) -> None:
        """Record a number with its unit.

        ``samples`` (same unit, in order of time) or a series (see the methods below);
        ``kept`` instead: what :meth:`keep` returned, for samples of several numbers.
        ``statistic`` says which number of the samples the value is (``p95``, ``median``,
        ``mean``), ``better`` which way is better when neither unit nor name says so.
        """
        if samples is not None:
            content = samples if isinstance(samples, Mapping) else list(samples)
            kept = self.keep(name, content)
        self.measurements.append(
            Measurement(
                name, unit, float(value), interval, budget, margin, kept, statistic, better
            ).to_json()
        )

    def attach(self, name: str, content: bytes | str | Mapping[Any, Any] | list[Any]) -> str | None:
        """Keep a file as evidence; returns its path relative to the report's directory.

        Text and bytes are kept as they are, everything else as JSON.
        """
        if isinstance(content, bytes):
            data = content
        elif isinstance(content, str):
            data = content.encode("utf-8", "replace")
        else:
            plain = dict(content) if isinstance(content, Mapping) else content
            data = json.dumps(plain, indent=1, default=str).encode()
        if self._directory is None:
            return None
        safe = _file_name(name)
        relative = f"evidence/{self.clause or 'tests'}/{safe}"
        target = self._directory / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        self.files = [entry for entry in self.files if entry["path"] != relative]
        self.files.append({"path": relative, "sha256": hashlib.sha256(data).hexdigest()})
        return relative

    def locate(self, file: Path | str, line: int = 0) -> None:
        """Point at the place that has to be mended (line 0: the whole file)."""
        place = {"file": str(file), "line": line}
        if place not in self.locations:
            self.locations.append(place)

    @contextmanager
    def case(self, name: str) -> Iterator[None]:
        """Judge one model (or one other part) without stopping at its first finding.

        A failed assertion or a fault of the subject inside becomes a finding; :meth:`close`
        raises them all together. What could not be assessed leaves the clause open, unless
        something else is found; so does an API that an endpoint restricts. Any other
        error passes through: that is our own.
        """
        self._judged += 1
        point = self.transcript.point if self.transcript is not None else 0
        try:
            yield
        except NotAssessed as hole:
            self._open.append((name, hole))
        except (AssertionError, SubjectFault) as error:
            text = words(error) or type(error).__name__
            if self.endpoint and (told := restriction(text)):
                self._open.append((name, NotAssessed(Reason.BLOCKED, told)))
                return
            self._findings.append(f"{name}: {text}")
            self.model = self.model or name
            if self.transcript is not None:
                self.transcript.mark(name, point)

    @contextmanager
    def assessed(self) -> Iterator[None]:
        """A finding that an endpoint's restricted API stands behind is NotAssessed instead."""
        try:
            yield
        except (AssertionError, SubjectFault) as error:
            told = "" if isinstance(error, Findings) else restriction(words(error))
            if not self.endpoint or not told:
                raise
            raise NotAssessed(Reason.BLOCKED, told) from None

    def keep_transcript(self, name: str = "transcript") -> None:
        """Attach what was asked of servers, for programs and for people; once."""
        transcript, self.transcript = self.transcript, None
        if transcript is None:
            return
        from pytest_triton.probe.transcript_text import to_json, to_text

        if entries := to_json(transcript):
            self.attach(f"{name}.json", entries)
            title = str(self.clause)
            self.attach(f"{name}.txt", to_text(entries, title=title, dropped=transcript.dropped))

    def need(self, what: str) -> None:
        """NotAssessed (not applicable) when no case was judged: nothing seen is no pass."""
        if not self._judged:
            raise NotAssessed(Reason.NOT_APPLICABLE, f"there is no {what}")

    @property
    def found(self) -> bool:
        """Whether a case has found something, or could not be assessed."""
        return bool(self._findings or self._open)

    def close(self) -> None:
        """Raise what the cases found: Findings (an AssertionError), else NotAssessed."""
        if self._findings:
            raise Findings("\n".join(self._findings))
        if self._open:
            reasons = "\n".join(f"{name}: {hole.reason}" for name, hole in self._open)
            raise NotAssessed(self._open[0][1].code, reasons)


def _file_name(name: str) -> str:
    """A file name for any name; where it has to differ, a digest keeps two names apart."""
    name = name.replace(" ", "_")
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip(".")
    if safe and safe == name and len(safe) <= 120:
        return safe
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    stem, dot, suffix = safe[-120:].partition(".") if len(safe) > 120 else safe.partition(".")
    return f"{stem or 'evidence'}-{digest}{dot}{suffix}"
