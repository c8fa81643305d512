"""What init says at its end: what is there, how it was proven, and what to type next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_triton.export.variants import described
from pytest_triton.repository.lint import Finding
from pytest_triton.repository.sidecar import ExportRecord
from pytest_triton.starting.project import Started
from pytest_triton.starting.texts import next_steps


def summary(started: Started, notes: Sequence[str], findings: Sequence[Finding]) -> Iterator[str]:
    """Line by line; paths as they are seen from here."""
    record = started.record
    file = started.model / str(record.version) / record.file
    yield "written"
    yield f"  {_shown(started.model / 'config.pbtxt')}"
    yield f"  {_shown(file)}  {_size(file.stat().st_size)}, {_proof(record)}"
    if record.labels:
        yield f"  {_shown(started.model / 'labels.txt')}  {len(record.labels)} labels"
    yield f"  {_shown(started.test)}"
    if started.pyproject is not None:
        yield f"  {_shown(started.pyproject)}"
    said = [*(f"done for Triton: {done}" for done in record.adapted), *notes]
    if record.choices:
        said.append(", ".join(f"{key} {value}" for key, value in record.choices.items()))
    said += [described(entry) for entry in record.variants]
    if record.variants:
        said.append(f"the file is the {record.variant} one; measured on {record.measured_on}")
    said += [
        f"{finding.file}:{finding.line} {finding.severity} {finding.rule} {finding.message}"
        for finding in findings
    ]
    if said:
        yield "to know"
        yield from (f"  {line}" for line in said)
    yield "next"
    yield from next_steps(
        Path(_shown(started.repository)),
        started.model.name,
        Path(_shown(started.test)),
        snippet=not started.configured,
    )


def _proof(record: ExportRecord) -> str:
    """How it was proven, in a few words."""
    untraced = [proof for proof in record.parity if not proof.traced]
    worst = max((proof.max_abs for proof in record.parity), default=0.0)
    ways = f"{len(untraced)} sizes that were not traced" if untraced else "the example"
    return f"equal to eager at {ways} (max error {worst:.2g})"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count > 1e5 else f"{count / 1e3:.1f} kB"


def _shown(path: Path) -> str:
    """Relative to the working directory where that is shorter."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
