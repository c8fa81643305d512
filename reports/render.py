"""report.json and its evidence as HTML: a page of its own, or blocks for another page.

A pure function of the report's directory: the same report gives the same bytes.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_triton.errors import ToolError

from .pages import environment

HERE = Path(__file__).parent
SCHEMA = HERE / "report.schema.json"


class BadReport(ToolError):
    """The file is no report.json that this version reads."""


def read(path: Path) -> dict[str, Any]:
    """Read a report.json (or its directory) and check it against the schema (BadReport)."""
    import jsonschema

    path = path / "report.json" if path.is_dir() else path
    try:
        report = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadReport(
            f"{path}: {error.strerror}", "give the report.json that a run has written"
        ) from None
    except (ValueError, RecursionError) as error:
        raise BadReport(f"{path}: no JSON: {error}") from None
    schema = json.loads(SCHEMA.read_text("utf-8"))
    version = report.get("schema_version") if isinstance(report, dict) else None
    known = schema["properties"]["schema_version"]["enum"]
    if isinstance(version, str) and version not in known and re.match(r"\d+\.\d+\Z", version):
        raise BadReport(
            f"{path}: version {version[:20]} of the schema; {', '.join(known)} are read here",
            "use the pytest-triton that wrote it, or a later one",
        )
    try:
        jsonschema.Draft202012Validator(schema).validate(report)
    except jsonschema.ValidationError as error:
        raise BadReport(
            f"{path}: {error.json_path}: {error.message[:300]}",
            "it was not written by this version, or was changed since",
        ) from None
    assert isinstance(report, dict)
    return report


def page(report: Mapping[str, Any], directory: Path, *, base: str = ".") -> str:
    """The whole page. ``directory`` is where the report lies, ``base`` the URL that leads there."""
    return _render("page.html", report, directory, base)


def blocks(report: Mapping[str, Any], directory: Path, *, base: str = ".") -> str:
    """The same blocks with their style, to be put into pytest-html's page."""
    return _render("pytest_html.html", report, directory, base)


def base_url(page_directory: Path, report_directory: Path) -> str:
    """The way from a page to the directory of its report, not yet quoted."""
    return Path(os.path.relpath(report_directory, page_directory)).as_posix()


def _render(template: str, report: Mapping[str, Any], directory: Path, base: str) -> str:
    from .view import build

    return environment().get_template(template).render(view=build(report, directory, base=base))
