"""What the screen found, remembered: protobuf is not imported for a repository seen before.

That import stands between the call and the start of the server, 0.1 to 0.4 s of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from pytest_triton.launch import complete
from pytest_triton.launch.cache import cache_root
from pytest_triton.launch.screened import Screened

_CONFIG, _MAX_CONFIG = "config.pbtxt", 4 * 1024 * 1024
#: Files kept; each has some hundred bytes.
_KEPT = 500
#: The code that decides: other code, other findings.
_CODE = tuple(
    Path(__file__).parents[1] / name
    for name in (
        "launch/screen.py",
        "launch/screened.py",
        "launch/complete.py",
        "repository/names.py",
        "repository/layout.py",
    )
)


def screen(repository: Path, models: Sequence[str] | None) -> Screened:
    """The screen itself, imported when it is needed."""
    from pytest_triton.launch.screen import screen as look

    return look(repository, models)


def screen_remembered(repository: Path, models: Sequence[str] | None = None) -> Screened:
    """As ``screen``, from the cache when nothing that it reads has changed."""
    try:
        path = cache_root() / "screened" / f"{_key(repository, models)}.json"
    except OSError:
        return screen(repository, models)
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        data = json.loads(path.read_bytes())
        return Screened(
            expected=tuple(data["expected"]),
            models=tuple(data["models"]),
            failed=dict(data["failed"]),
            complete=bool(data["complete"]),
            grace=float(data["grace"]),
        )
    found = screen(repository, models)
    with contextlib.suppress(OSError):
        _write(path, found)
    return found


def _key(repository: Path, models: Sequence[str] | None) -> str:
    """A checksum of everything that the screen looks at."""
    digest = hashlib.sha256(os.fsencode(repository))
    for file in _CODE:
        digest.update(file.read_bytes())
    digest.update(repr(None if models is None else tuple(models)).encode())
    for model in sorted(entry for entry in repository.iterdir() if entry.is_dir()):
        digest.update(b"\0model\0" + os.fsencode(model.name))
        # A fifo would wait for its writer for ever.
        if (model / _CONFIG).is_file():
            with contextlib.suppress(OSError), (model / _CONFIG).open("rb") as config:
                text = config.read(_MAX_CONFIG + 1)
                digest.update(b"\0config\0" + len(text).to_bytes(8, "little") + text)
        for entry in sorted(model.iterdir()):
            digest.update(b"\0entry\0" + os.fsencode(entry.name))
            if not entry.is_dir():
                continue
            for file in sorted(entry.iterdir()):
                digest.update(b"\0file\0" + os.fsencode(file.name) + b"01"[: 1 + file.exists()])
                if file.suffix == ".py" and file.is_file():
                    with file.open("rb") as source:
                        text = source.read(complete.MAX_SOURCE + 1)
                    digest.update(len(text).to_bytes(8, "little") + text)
    return digest.hexdigest()


def _write(path: Path, found: Screened) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = sorted(path.parent.glob("*.json"), key=lambda file: file.stat().st_mtime)
    for old in kept[: max(0, len(kept) - _KEPT)]:
        old.unlink(missing_ok=True)
    data = {
        "expected": found.expected,
        "models": found.models,
        "failed": dict(found.failed),
        "complete": found.complete,
        "grace": found.grace,
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(data), encoding="utf-8")
    temporary.replace(path)
