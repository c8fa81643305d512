"""What a check of the machine says, and programs that are asked with a deadline."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import asdict, dataclass
from typing import Literal

Verdict = Literal["ok", "missing", "absent"]
#: Seconds that a program may take to say its version.
_TIMEOUT = 15.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is needed, beside what the machine has.

    ``verdict``: "ok"; "missing": the embedded server cannot run without it; "absent": only
    what ``for_what`` names is not possible here.
    """

    group: str
    name: str
    verdict: Verdict
    needed: str
    found: str
    remedy: str = ""
    for_what: str = ""

    def to_dict(self) -> dict[str, str]:
        """For programs."""
        return asdict(self)


def ask(*command: str, timeout: float = _TIMEOUT) -> tuple[int, str]:
    """Status and first lines of what a program says; status 127 when it cannot be run."""
    if shutil.which(command[0]) is None:
        return 127, ""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return 124, f"no answer within {timeout:.0f} s"
    except OSError as error:
        return 126, str(error)
    return done.returncode, (done.stdout.strip() or done.stderr.strip())


def gigabytes(count: float) -> str:
    """Bytes as a person reads them (GB, 2**30)."""
    if count < 2**30:
        return f"{count / 2**20:.0f} MB"
    return f"{count / 2**30:.1f} GB"


def numbers(text: str) -> tuple[int, ...]:
    """The version in a text: "Docker 27.3.1-ce" -> (27, 3, 1); () when there is none."""
    import re

    found = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()
