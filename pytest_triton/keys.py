"""Everything that we keep on pytest's stashes, in one place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_triton.evidence import Evidence
    from pytest_triton.grade.scorecard import Scorecard
    from pytest_triton.launch.turns import Turns
    from pytest_triton.settings import Settings

SETTINGS: pytest.StashKey[Settings] = pytest.StashKey()
SCORECARD: pytest.StashKey[Scorecard] = pytest.StashKey()
#: report.json as a dictionary, from session finish on.
REPORT = pytest.StashKey[dict[str, Any]]()
#: What is known about the subject, as JSON; filled by the process that talked to it.
SUBJECT = pytest.StashKey[dict[str, Any]]()
EVIDENCE: pytest.StashKey[Evidence] = pytest.StashKey()
#: The page that was written beside report.json, or why there is none.
PAGE = pytest.StashKey[Path]()
PAGE_PROBLEM = pytest.StashKey[str]()
#: Turns at the shared server, under pytest-xdist.
TURNS: pytest.StashKey[Turns] = pytest.StashKey()
