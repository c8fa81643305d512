"""One frozen Settings, resolved once: command line > environment > ini > default."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from pytest_triton.errors import ToolError
from pytest_triton.options import AREAS, BY_FIELD, SETTINGS, UNBOUNDED, Option


class SettingsError(ToolError):
    """An option has a value that cannot be used."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What was asked for. Paths are absolute; durations are in seconds."""

    url: str | None = None
    grpc_url: str | None = None
    metrics_url: str | None = None
    header: tuple[str, ...] = field(default=(), repr=False)
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    repository: Path | None = None
    models: str = "*"
    inputs: Path | None = None
    handed_in: Path | None = None
    sandbox: str | None = None
    launcher: str = "embedded"
    server_release: str = "24.10"
    device: str = "auto"
    image: str = "nvcr.io/nvidia/tritonserver:24.07-py3"
    compose_file: Path | None = None
    compose_service: str | None = None
    boot_timeout: float = 120.0
    server_python: Path | None = None
    tier: str = "basic"
    scope: tuple[str, ...] = ()
    profile: str = "lab"
    waivers: Path | None = None
    baseline: Path | None = None
    seed: int = 0
    inconclusive: str = "fail"
    budgets: Path | None = None
    allow_control: bool = False
    allow_load: int | None = None
    report: Path = Path("triton-report")
    transcript: str = "failed"

    @property
    def kind(self) -> str:
        """``endpoint``, ``submission``, ``repository`` or ``reference``."""
        if self.url:
            return "endpoint"
        if self.sandbox:
            return "submission"
        return "repository" if self.repository else "reference"

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The headers as pairs of name and value."""
        pairs = (text.partition(":") for text in self.header)
        return tuple((name.strip(), value.strip()) for name, _, value in pairs)

    def redacted(self) -> dict[str, Any]:
        """Every setting as JSON, header values and key paths left out."""
        shown: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name == "header":
                value = [f"{name}: ***" for name, _ in self.headers]
            elif item.name == "tls_key" and value is not None:
                value = "***"
            elif isinstance(value, Path):
                value = str(value)
            elif isinstance(value, tuple):
                value = list(value)
            shown[item.name] = value
        return shown


def _flag(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered in ("1", "true", "yes", "on"):
        return True
    if lowered in ("0", "false", "no", "off", ""):
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def _areas(value: str | Sequence[str]) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    areas = tuple(part.strip() for part in parts if part.strip())
    for area in areas:
        if area not in AREAS:
            raise ValueError(f"{area!r} is no area; there are {', '.join(AREAS)}")
    return areas


def _load(value: Any) -> int | None:
    """MAX_CONCURRENCY, :data:`UNBOUNDED` for the bare flag, None for "not allowed"."""
    text = str(value).strip().lower()
    if text in ("true", "yes", "on"):
        return UNBOUNDED
    if text in ("false", "no", "off", "0"):
        return None
    try:
        number = int(text)
    except ValueError:
        raise ValueError(
            f"{value!r} is no number; the bare flag takes what follows it for one: put it last"
        ) from None
    if number < 1:
        raise ValueError("MAX_CONCURRENCY is at least 1")
    return number


def _header(text: str) -> str:
    name, colon, _ = text.partition(":")
    if not colon or not name.strip() or "\n" in text or "\r" in text:
        raise ValueError("a header is written 'Name: value'")
    return text


def convert(option: Option, value: Any, base: Path) -> Any:
    """Turn what was typed into the field's type; relative paths are relative to ``base``.

    Raises SettingsError with the option's name for a value that cannot be used.
    """
    kind = option.kind
    try:
        if kind == "path":
            path = Path(str(value)).expanduser()
            return path if path.is_absolute() else (base / path)
        if kind == "flag":
            return value if isinstance(value, bool) else _flag(str(value))
        if kind == "float":
            number = float(value)
            if not 0 < number < float("inf"):
                raise ValueError("has to be a positive number of seconds")
            return number
        if kind == "int":
            return int(value)
        if kind == "choice":
            if value not in option.choices:
                raise ValueError(f"{value!r} is none of {', '.join(option.choices)}")
            return value
        if kind == "list":
            items = value.splitlines() if isinstance(value, str) else list(value)
            return tuple(_header(item) for item in items if item.strip())
        if kind == "areas":
            return _areas(value)
        if kind == "load":
            return _load(value)
        return str(value)
    except (TypeError, ValueError) as error:
        raise SettingsError(
            f"{option.flag}: {error}",
            f"see  pytest --help  ({option.flag})"
            if option.typed
            else "see docs/reference/options.md",
        ) from None


Source = Callable[[Option], Any]


def resolve(
    command_line: Source,
    ini: Source,
    *,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    root: Path | None = None,
    seed: int = 0,
) -> Settings:
    """Settings from the sources; a source answers None for "not said".

    Relative paths are relative to ``cwd`` on the command line and in the environment, and
    to ``root`` (the directory of the configuration file) in ini. ``seed`` is used when
    none was said. Of two subjects, the one that was said by the stronger source counts.
    """
    environ = os.environ if environ is None else environ
    cwd = cwd or Path.cwd()
    values: dict[str, Any] = {}
    strength: dict[str, int] = {}
    for option in SETTINGS:
        for rank, (value, base) in enumerate(
            (
                (command_line(option), cwd),
                (environ.get(option.env) or None, cwd),
                (ini(option), root or cwd),
            )
        ):
            if value is not None and value != ():
                values[option.field] = convert(option, value, base)
                strength[option.field] = rank
                break
        else:
            default = option.default
            values[option.field] = cwd / default if isinstance(default, Path) else default
    if values["seed"] is None:
        values["seed"] = seed
    subjects = {name: strength[name] for name in ("url", "repository") if name in strength}
    if len(set(subjects.values())) == 2:
        values[max(subjects, key=lambda name: subjects[name])] = None
    settings = Settings(**values)
    check(settings)
    return settings


def check(settings: Settings) -> None:
    """Refuse combinations that cannot be meant (SettingsError)."""
    if settings.url and settings.repository:
        raise SettingsError(
            "--triton-url and --triton-repository are two different subjects",
            "give one of them",
        )
    if settings.url and not settings.url.startswith(("http://", "https://")):
        raise SettingsError(
            f"--triton-url: {settings.url!r} is no http(s) URL", "write http://HOST:8000"
        )
    if settings.repository and not settings.repository.is_dir():
        raise SettingsError(
            f"--triton-repository: there is no directory {settings.repository}",
            "give the directory that holds one directory for each model",
        )
    if settings.sandbox and os.environ.get(BY_FIELD["sandbox"].env) != settings.sandbox:
        raise SettingsError(
            f"{BY_FIELD['sandbox'].dest} is not for a configuration file",
            "run  pytest-triton grade SUBMISSION --out DIR",
        )
    if settings.sandbox and (settings.url or settings.handed_in is None):
        raise SettingsError(
            "a sandbox is for a submission", "run  pytest-triton grade SUBMISSION --out DIR"
        )
    if settings.handed_in and not settings.handed_in.is_dir():
        raise SettingsError(
            f"triton_handed_in: there is no directory {settings.handed_in}",
            "give the directory that holds benchmarks/ and the load test",
        )
    for name in (
        "inputs",
        "waivers",
        "baseline",
        "budgets",
        "tls_ca",
        "tls_cert",
        "tls_key",
        "compose_file",
    ):
        path = getattr(settings, name)
        if path is not None and not path.is_file():
            raise SettingsError(f"{BY_FIELD[name].flag}: there is no file {path}")
