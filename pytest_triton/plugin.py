"""The pytest plugin: its options; what happens in a run is :mod:`pytest_triton.run`.

It is imported in every pytest run of the environment, so it imports next to nothing.
"""

from __future__ import annotations

import secrets
import sys
from typing import Any

import pytest

from pytest_triton import keys
from pytest_triton.options import INI_OPTIONS, OPTIONS, Option
from pytest_triton.run import Run
from pytest_triton.settings import Settings, SettingsError, resolve

#: Loaded by :func:`pytest_addhooks`: ``pytest_plugins`` would read the metadata of every
#: installed distribution again for each of them.
MODULES = (
    "pytest_triton.fixtures.server",
    "pytest_triton.fixtures.access",
    "pytest_triton.fixtures.models",
    "pytest_triton.fixtures.lint",
    "pytest_triton.fixtures.measure",
    "pytest_triton.fixtures.metrics",
    "pytest_triton.fixtures.tracing",
    "pytest_triton.reports.terminal",
    "pytest_triton.reports.html",
)

GROUPS = {
    "where": "triton: where the server is",
    "what": "triton: what is judged",
    "how": "triton: how a server is booted",
    "verdict": "triton: the verdict",
    "output": "triton: output",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    for option in OPTIONS:
        group = parser.getgroup(f"triton-{option.group}", GROUPS[option.group])
        keywords: dict[str, Any] = {"dest": option.dest, "default": None, "help": _help(option)}
        if option.kind == "flag":
            keywords["action"] = "store_true"
        elif option.kind == "list":
            keywords |= {"action": "append", "metavar": option.metavar}
        elif option.kind == "load":
            keywords |= {"nargs": "?", "const": "true", "type": str, "metavar": option.metavar}
        elif option.choices:
            keywords |= {"choices": option.choices}
        else:
            keywords |= {"metavar": option.metavar}
        group.addoption(option.flag, **keywords)
        kind: Any = {"flag": "bool", "float": "float", "int": "int", "list": "linelist"}.get(
            option.kind, "string"
        )
        if option.kind == "load" and pytest.version_tuple >= (9, 2):
            kind = str | bool | int  # true, or a number
        parser.addini(option.dest, f"ini form of {option.flag}", type=kind, default=None)
    for option in INI_OPTIONS:
        parser.addini(option.dest, option.help, type="string", default=None)


def _help(option: Option) -> str:
    shown = option.default not in (None, False, ())
    text = f"{option.help} (default: {option.default})" if shown else option.help
    return text.replace("%", "%%")


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from pytest_triton import hooks

    pluginmanager.add_hookspecs(hooks)
    for name in MODULES:
        pluginmanager.import_plugin(name)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "clause(id): the test judges this clause of the pytest-triton catalogue"
    )
    config.stash[keys.SETTINGS] = settings = _settings(config)
    # Options are needed by --help too; a run is judged by an object of its own.
    config.pluginmanager.register(Run(config, settings), "triton-run")


def _settings(config: pytest.Config) -> Settings:
    worker: dict[str, Any] = getattr(config, "workerinput", {})
    try:
        return resolve(
            lambda option: config.getoption(option.dest, None),
            lambda option: config.getini(option.dest),
            cwd=config.invocation_params.dir,
            root=config.inipath.parent if config.inipath else config.rootpath,
            seed=worker.get("triton_seed") or secrets.randbits(31),
        )
    except SettingsError as error:
        raise pytest.UsageError(str(error)) from None


if sys.platform != "linux":  # pragma: no cover
    raise ImportError("pytest-triton runs on Linux only")
