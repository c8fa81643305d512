"""What is in the wheel, and what is not."""

from __future__ import annotations

import email
import sys
import zipfile
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
#: Folders of the root, and where they are in the wheel.
MAPPED = {name: f"pytest_triton/{name}" for name in
          ("fixtures", "suites", "reports", "model_repository")}  # fmt: skip
DATA = {".toml", ".json", ".html", ".css", ".js", ".j2", ".pbtxt", ".txt", ".md", ".sh", ".yml"}
#: Folders of models: data, whatever is in them.
MODELS = ("pytest_triton/model_repository/", "pytest_triton/probe_models/")


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as file:
        return set(file.namelist())


def sources(clone: Path) -> dict[str, Path]:
    """Every file of the package, by the name that it has in the wheel."""
    found = {}
    for folder, target in {"pytest_triton": "pytest_triton", **MAPPED}.items():
        for path in (clone / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                found[f"{target}/{path.relative_to(clone / folder)}"] = path
    return found


def test_everything_is_in_it(names: set[str], clone: Path) -> None:
    wanted = {
        name for name, path in sources(clone).items()
        if path.suffix in DATA | {".py"} or path.name == "py.typed"
        or name.startswith(MODELS)
    }  # fmt: skip
    missing = sorted(wanted - names)
    assert not missing, f"pyproject.toml leaves out {missing}"


def test_nothing_else_is_in_it(names: set[str], clone: Path) -> None:
    more = {name for name in names if ".dist-info/" not in name} - sources(clone).keys()
    assert not more
    assert not [name for name in names if name.endswith((".pt", ".npz", ".so", ".pyc"))]
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"pytest_triton"}


def test_what_has_to_be_there(names: set[str]) -> None:
    assert {
        "pytest_triton/py.typed",
        "pytest_triton/criteria/criteria.toml",
        "pytest_triton/reports/report.schema.json",
        "pytest_triton/suites/test_setup.py",
        "pytest_triton/fixtures/server.py",
        "pytest_triton/backends/pytorch/model.py",
        "pytest_triton/model_repository/mlp/config.pbtxt",
    } <= names
    assert [name for name in names if name.endswith("licenses/LICENSE")]
    # Nothing may make Triton take the folder for a model, or Python for a package.
    assert not [name for name in names if name in {f"{models}__init__.py" for models in MODELS}]


def test_the_list_of_packages_is_complete(clone: Path) -> None:
    folders = {
        ".".join(folder.parts)
        for name in sources(clone)
        if name.endswith(".py") and not name.startswith(MODELS)
        for folder in list(Path(name).parents)[:-1]
    }
    listed = set(project()["tool"]["setuptools"]["packages"])
    assert listed == folders | {name.rstrip("/").replace("/", ".") for name in MODELS}


def test_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = {Path(name).name: name for name in file.namelist() if ".dist-info/" in name}
        told = email.message_from_bytes(file.read(names["METADATA"]))
        entries = file.read(names["entry_points.txt"]).decode()
    assert told["Name"] == "pytest-triton"
    assert told["License-Expression"] == "Apache-2.0"
    assert {"torch", "docker", "html", "monitor", "lab", "dev"} <= set(
        told.get_all("Provides-Extra")
    )
    required = [line for line in told.get_all("Requires-Dist") if "extra ==" not in line]
    heavy = ("torch", "transformers", "pytest-docker", "pytest-html", "nvidia-pytriton")
    assert not [line for line in required if line.lower().startswith(heavy)]
    # Nobody's environment is forced to an old numpy.
    (numpy,) = (line for line in required if line.startswith("numpy"))
    assert "<" not in numpy
    assert "triton = pytest_triton.plugin" in entries
    assert "pytest-triton = pytest_triton.cli:main" in entries
