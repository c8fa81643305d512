"""The corpus: configurations with what lint has to say and what a real server does with them.

``corpus/*.toml`` hold the cases; this reads them, writes them as models of a repository, and
brings findings into the short form that a case expects: ``RULE@LINE`` for the case's own
config.pbtxt, ``RULE@path`` for another file of its model, ``RULE@other/path`` elsewhere.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pytest_triton.repository.lint import Finding, LintResult

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"
#: What a real server can do with a model.
SERVER = ("ready", "refused", "hangs", "crashes", "unrun")

#: Loads with every configuration; answers zeros of the outputs that it declares.
IDENTITY = """\
import json

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        self.batched = config["max_batch_size"] > 0
        self.decoupled = config.get("model_transaction_policy", {}).get("decoupled", False)
        self.inputs = [tensor["name"] for tensor in config["input"]]
        self.outputs = []
        for tensor in config["output"]:
            shape = tensor.get("reshape", tensor).get("shape", tensor["dims"])
            dims = [max(int(size), 1) for size in shape]
            kind = pb_utils.triton_string_to_numpy(tensor["data_type"])
            self.outputs.append((tensor["name"], dims, kind))

    def execute(self, requests):
        responses = [self.answer(request) for request in requests]
        if not self.decoupled:
            return responses
        for request, response in zip(requests, responses):
            sender = request.get_response_sender()
            sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        return None

    def answer(self, request):
        batch = []
        if self.batched:
            given = [pb_utils.get_input_tensor_by_name(request, name) for name in self.inputs]
            batch = [next((t.shape()[0] for t in given if t is not None), 1)]
        tensors = []
        for name, dims, kind in self.outputs:
            zeros = np.zeros(batch + dims, kind)
            if kind is np.object_:
                zeros[...] = b""
            tensors.append(pb_utils.Tensor(name, zeros))
        return pb_utils.InferenceResponse(tensors)
"""


@dataclass(frozen=True)
class Case:
    """One case, as its file says it; tests/lint/README.md explains the members."""

    id: str
    about: str
    #: The text of config.pbtxt; None: the model has none.
    config: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    expect: tuple[str, ...] = ()
    server: str = "ready"
    text: str = ""
    shown: str = ""
    why_unrun: str = ""
    #: The server reads memory that is not the request's: it refuses, or ends.
    may_crash: bool = False
    looks_wrong: bool = False
    #: Independent defects; None: one if anything is expected, else none.
    defects: int | None = None
    others: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    #: The file that holds it.
    theme: str = ""

    @property
    def defect_count(self) -> int:
        if self.defects is not None:
            return self.defects
        return 1 if self.expect else 0

    @property
    def needs_torch(self) -> bool:
        texts = [*self.files.values()]
        for other in self.others.values():
            texts += [str(text) for text in dict(other.get("files", {})).values()]  # type: ignore[call-overload]
        return any(text.startswith("@torchscript:") for text in texts)


@cache
def cases() -> tuple[Case, ...]:
    """Every case, in the order of the files."""
    found = []
    for path in sorted(CORPUS.glob("*.toml")):
        for entry in tomllib.loads(path.read_text("utf-8")).get("case", []):
            entry["expect"] = tuple(entry.get("expect", ()))
            found.append(Case(**entry, theme=path.stem))
    return tuple(found)


def write_case(repository: Path, case: Case) -> Path:
    """The case's model, and the models beside it, in a repository; the path of its model."""
    for name, other in case.others.items():
        _write(repository / name, other.get("config"), other.get("files", {}))  # type: ignore[arg-type]
    _write(repository / case.id, case.config, case.files)
    return repository / case.id


def _write(directory: Path, config: str | None, files: Mapping[str, str]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    if config is not None:
        (directory / "config.pbtxt").write_text(config, "utf-8")
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        elif content.startswith("@link:"):
            path.unlink(missing_ok=True)
            path.symlink_to(content.removeprefix("@link:"))
        else:
            path.write_bytes(content_of(content))


def content_of(text: str) -> bytes:
    """The bytes of a file as a case names them."""
    if text == "@identity":
        return IDENTITY.encode()
    if text == "@empty":
        return b""
    if text.startswith("@torchscript:"):
        return torchscript(text.removeprefix("@torchscript:"))
    if text.startswith("@bytes:"):
        return bytes.fromhex(text.removeprefix("@bytes:"))
    if re.match(r"@[a-z]+(:|$)", text):
        raise ValueError(f"there is no kind of file {text!r}")
    return text.encode()


@cache
def torchscript(name: str) -> bytes:
    """A module of corpus_modules.py as the bytes of its model.pt."""
    import tempfile

    from corpus_modules import MODULES

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.pt"
        MODULES[name](path)
        return path.read_bytes()


def short(finding: Finding, case: Case) -> str:
    """A finding as a case expects it."""
    own = f"{case.id}/"
    if finding.file == f"{own}config.pbtxt":
        return f"{finding.rule}@{finding.line}"
    return f"{finding.rule}@{finding.file.removeprefix(own)}"


def said(result: LintResult, case: Case) -> list[str]:
    """Errors and warnings of a result, sorted, in the short form."""
    return sorted(short(one, case) for one in result.findings if one.severity != "info")


# -- what makes two cases different ----------------------------------------------------

_TOKEN = re.compile(
    r'#[^\n]*|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|[A-Za-z_]\w*|-?\d[\w.+-]*|\S'
)
#: Fields whose text is no name that somebody chose.
_KEPT = frozenset({"backend", "platform", "runtime", "string_value", "default_model_filename"})


def normalised(text: str) -> str:
    """A configuration without what does not make it another one.

    Comments and white space go. Numbers are one of ``0``, ``-1`` and ``#``: whether there is
    batching, and whether a dimension is variable, are no mere numbers. Names are numbered in
    the order in which they first occur, so that using one twice stays visible.
    """
    out: list[str] = []
    names: dict[str, str] = {}
    numbers: dict[str, str] = {}
    fields: list[str] = []
    for token in _TOKEN.findall(text):
        if token.startswith("#"):
            continue
        if token[0] in "\"'":
            kept = fields and (fields[-1] in _KEPT or fields[-2:] == ["parameters", "key"])
            out.append(token if kept else _name(token[1:-1], names, numbers))
        elif re.match(r"-?\d", token):
            out.append(token if token in ("0", "-1") else "#")
        else:
            if token[0].isalpha():
                fields.append(token)
            out.append(token)
    return " ".join(out)


def _name(name: str, names: dict[str, str], numbers: dict[str, str]) -> str:
    base, index, number = name.partition("__")
    known = names.setdefault(base, f"name{len(names)}")
    if not (index and number.isdigit()):
        return known + index + re.sub(r"\d+", "#", number)
    return f"{known}__{numbers.setdefault(number, f'n{len(numbers)}')}"


def fingerprint(case: Case) -> tuple[object, ...]:
    """Equal for two cases that differ only in names and numbers."""
    others = sorted(
        (normalised(str(other.get("config", ""))), *sorted(dict(other.get("files", {})).items()))  # type: ignore[call-overload]
        for other in case.others.values()
    )
    return (normalised(case.config or ""), tuple(sorted(case.files.items())), tuple(others))


# -- the server's verdict beside ours --------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """What the real server did with a case."""

    #: One of SERVER.
    outcome: str
    reason: str = ""


def disagreement(case: Case, verdict: Verdict, errors: Sequence[str], tests: set[str]) -> str:
    """Why the server's verdict and lint's do not go together; empty when they do."""
    if verdict.outcome == "unrun":
        return ""
    if verdict.outcome in ("refused", "hangs", "crashes"):
        return "" if errors else f"{verdict.outcome} by the server, and lint has no error"
    if not errors:
        return ""
    if not case.shown:
        return "served, and lint calls it an error without a test that shows the harm"
    return "" if case.shown in tests else f"there is no test {case.shown}"


@cache
def test_names() -> frozenset[str]:
    """Every test function of this directory."""
    pattern = re.compile(r"^(?:async )?def (test_\w+)", re.MULTILINE)
    return frozenset(
        name for path in HERE.glob("test_*.py") for name in pattern.findall(path.read_text("utf-8"))
    )


test_names.__test__ = False  # type: ignore[attr-defined]
