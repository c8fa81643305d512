"""The options of DESIGN.md 2, and where their values come from."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pytest_triton.options import OPTIONS, UNBOUNDED, Option
from pytest_triton.settings import SettingsError, resolve

#: The complete table of options.
TABLE = {
    "where": (
        "url", "grpc-url", "metrics-url", "header", "tls-ca", "tls-cert", "tls-key",
    ),
    "what": ("repository", "models", "inputs"),
    "how": (
        "launcher", "server-release", "device", "image", "compose-file", "compose-service",
        "boot-timeout", "server-python",
    ),
    "verdict": (
        "tier", "scope", "profile", "waivers", "baseline", "seed", "allow-control", "allow-load",
    ),
    "output": ("report", "transcript"),
}  # fmt: skip
DEFAULTS = {
    "launcher": "embedded", "server-release": "24.10", "device": "auto", "tier": "basic",
    "profile": "lab", "transcript": "failed", "models": "*", "boot-timeout": 120.0,
    "image": "nvcr.io/nvidia/tritonserver:24.07-py3", "report": "triton-report",
}  # fmt: skip
CHOICES = {
    "launcher": {"embedded", "docker"}, "device": {"cpu", "gpu", "auto"},
    "tier": {"basic", "advanced", "expert"}, "profile": {"lab", "certificate"},
    "transcript": {"failed", "all"},
}  # fmt: skip
#: For each kind of option: four values that can be told apart, as text and as a field.
VALUES = {
    "str": [("a", "a"), ("b", "b"), ("c", "c")],
    "path": [("./a", "a"), ("./b", "b"), ("./c", "c")],
    "flag": [("true", True), ("true", True), ("true", True)],
    "float": [("1.5", 1.5), ("2", 2.0), ("3", 3.0)],
    "int": [("1", 1), ("2", 2), ("3", 3)],
    "list": [("A: a", ("A: a",)), ("B: b", ("B: b",)), ("C: c", ("C: c",))],
    "areas": [("setup", ("setup",)), ("config,protocol", ("config", "protocol")),
              ("metrics", ("metrics",))],
    "load": [("1", 1), ("2", 2), ("3", 3)],
}  # fmt: skip


def values_of(option: Option, base: Path) -> list[tuple[str, object]]:
    if option.choices:
        words = [*option.choices, option.choices[0]]
        return [(word, word) for word in words[:3]]
    if option.name == "url":
        return [(f"http://{name}:1", f"http://{name}:1") for name in "abc"]
    found = VALUES[option.kind]
    if option.kind == "path":
        return [(text, base / str(value)) for text, value in found]
    return list(found)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A directory where every path exists, as a file and (for the repository) as a directory."""
    for name in "abc":
        (tmp_path / name).write_text("")
    (tmp_path / "repository").mkdir()
    for name in "abc":
        (tmp_path / "repository" / name).mkdir()
    return tmp_path


def test_the_table_is_complete(project) -> None:
    shown = set(re.findall(r"^\s+(--triton-[a-z-]+)", project.run("--help").output, re.MULTILINE))
    assert shown == {f"--triton-{name}" for names in TABLE.values() for name in names}


def test_help_tells_of_environment_and_ini(project) -> None:
    output = project.run("--help").output
    for option in OPTIONS:
        assert re.search(rf"^\s+{option.dest} ", output, re.MULTILINE), option.dest
        assert option.help


def test_groups_and_defaults() -> None:
    assert {option.name: option.group for option in OPTIONS} == {
        name: group for group, names in TABLE.items() for name in names
    }
    settings = resolve(lambda o: None, lambda o: None, environ={}, cwd=Path("/x"), seed=4)
    for option in OPTIONS:
        told = getattr(settings, option.field)
        wanted = DEFAULTS.get(option.name)
        if option.name == "report":
            assert told == Path("/x/triton-report")
        elif option.name == "seed":
            assert told == 4
        else:
            assert told == wanted or (wanted is None and told in (None, (), False)), option.name
        if option.choices:
            assert set(option.choices) == CHOICES[option.name]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_command_line_over_environment_over_ini_over_default(option: Option, base: Path) -> None:
    where = base / "repository" if option.name == "repository" else base
    (line, on_line), (env, in_env), (ini, in_ini) = values_of(option, where)

    def got(*, by_line: bool, by_env: bool, by_ini: bool) -> object:
        typed = [line] if option.kind == "list" else line
        settings = resolve(
            lambda o: typed if o is option and by_line else None,
            lambda o: ini if o is option and by_ini else None,
            environ={option.env: env} if by_env else {},
            cwd=where,
            root=where,
        )
        return getattr(settings, option.field)

    assert got(by_line=True, by_env=True, by_ini=True) == on_line
    assert got(by_line=False, by_env=True, by_ini=True) == in_env
    assert got(by_line=False, by_env=False, by_ini=True) == in_ini
    default = got(by_line=False, by_env=False, by_ini=False)
    assert default not in (in_ini, in_env) or option.choices


def test_off_in_the_environment_beats_on_in_ini() -> None:
    for text in ("0", "false", "no", "off"):
        settings = resolve(
            lambda o: None,
            lambda o: True if o.name in ("allow-control", "allow-load") else None,
            environ={"PYTEST_TRITON_ALLOW_CONTROL": text, "PYTEST_TRITON_ALLOW_LOAD": text},
        )
        assert settings.allow_control is False
        assert settings.allow_load is None


def test_a_subject_on_the_command_line_beats_the_one_in_ini(tmp_path: Path) -> None:
    said = {"url": "http://127.0.0.1:8000", "repository": str(tmp_path)}
    for name, other in (("url", "repository"), ("repository", "url")):
        settings = resolve(
            lambda o, name=name: said[name] if o.name == name else None,
            lambda o, other=other: said[other] if o.name == other else None,
            environ={},
        )
        assert settings.kind == {"url": "endpoint", "repository": "repository"}[name]
    with pytest.raises(SettingsError, match="two different subjects"):
        resolve(lambda o: said.get(o.name), lambda o: None, environ={})


def test_paths_are_relative_to_where_they_were_said(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    settings = resolve(
        lambda o: "out" if o.name == "report" else None,
        lambda o: "here" if o.name == "repository" else None,
        environ={}, cwd=tmp_path / "elsewhere", root=tmp_path,
    )  # fmt: skip
    assert settings.report == tmp_path / "elsewhere" / "out"
    assert settings.repository == tmp_path / "here"


@pytest.mark.parametrize(
    ("value", "wanted"),
    [("true", UNBOUNDED), ("on", UNBOUNDED), (True, UNBOUNDED), ("8", 8), (8, 8), ("false", None),
     ("no", None), (False, None), ("0", None), ("off", None)],
)  # fmt: skip
def test_allow_load(value: object, wanted: int | None) -> None:
    settings = resolve(
        lambda o: None, lambda o: value if o.name == "allow-load" else None, environ={}
    )
    assert settings.allow_load == wanted


@pytest.mark.parametrize("text", ["maybe", "2", ""])
def test_a_flag_that_is_neither(text: str) -> None:
    environ = {"PYTEST_TRITON_ALLOW_CONTROL": text}
    if text == "":  # an empty variable says nothing
        assert not resolve(lambda o: None, lambda o: None, environ=environ).allow_control
        return
    with pytest.raises(SettingsError, match="--triton-allow-control"):
        resolve(lambda o: None, lambda o: None, environ=environ)


SHOW = """
import json
from pathlib import Path
def test_it(triton_settings):
    Path("told.json").write_text(json.dumps(triton_settings.redacted()))
"""


def told(project, *arguments: str) -> dict:
    project.write("test_it.py", SHOW)
    result = project.run("test_it.py", *arguments)
    assert result.status == 0, result.output
    return json.loads((project.path / "told.json").read_text())


def test_on_the_command_line(project) -> None:
    project.write("waivers.toml", "")
    settings = told(
        project, "--triton-url=http://h:8000/base", "--triton-header", "A: secret",
        "--triton-header=B: more", "--triton-allow-load", "--triton-allow-control",
        "--triton-scope", "config,protocol", "--triton-seed", "5", "--triton-waivers",
        "waivers.toml", "--triton-boot-timeout", "7.5",
    )  # fmt: skip
    assert settings["url"] == "http://h:8000/base"
    assert settings["header"] == ["A: ***", "B: ***"]
    assert settings["allow_load"] == UNBOUNDED
    assert settings["allow_control"] is True
    assert settings["scope"] == ["config", "protocol"]
    assert settings["seed"] == 5
    assert settings["boot_timeout"] == 7.5
    assert settings["waivers"] == str(project.path / "waivers.toml")
    assert told(project, "--triton-url=http://h:1", "--triton-allow-load=6")["allow_load"] == 6
    result = project.run("--triton-allow-load", "test_it.py")
    assert result.status == 4
    assert "put it last" in result.output


NATIVE = """
[tool.pytest]
triton_tier = "advanced"
triton_boot_timeout = 60
triton_allow_control = true
triton_allow_load = %s
triton_seed = 11
triton_scope = %s
triton_header = ["A: a", "B: b"]
triton_report = "out"
triton_server_release = "24.07"
"""
INI = """
[pytest]
triton_tier = advanced
triton_boot_timeout = 60
triton_allow_control = true
triton_allow_load = %s
triton_seed = 11
triton_scope = %s
triton_header =
    A: a
    B: b
triton_report = out
triton_server_release = 24.07
"""


@pytest.mark.parametrize(
    ("file", "text", "load", "scope"),
    [
        ("pyproject.toml", NATIVE, "4", '"config, protocol"'),
        ("pyproject.toml", NATIVE, '"4"', '"config,protocol"'),
        ("pytest.ini", INI, "4", "config,protocol"),
    ],
)
def test_in_a_configuration_file(project, file: str, text: str, load: str, scope: str) -> None:
    project.write(file, text % (load, scope))
    settings = told(project)
    assert settings["tier"] == "advanced"
    assert settings["boot_timeout"] == 60.0
    assert settings["allow_control"] is True
    assert settings["allow_load"] == 4
    assert settings["seed"] == 11
    assert settings["scope"] == ["config", "protocol"]
    assert settings["header"] == ["A: ***", "B: ***"]
    assert settings["report"] == str(project.path / "out")
    assert settings["server_release"] == "24.07"


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("triton_allow_load = true", "allow_load", UNBOUNDED),
        ("triton_allow_load = false", "allow_load", None),
        ("triton_allow_control = false", "allow_control", False),
        ("triton_boot_timeout = 60.5", "boot_timeout", 60.5),
        ("triton_server_release = 24.10", "server_release", "24.10"),
        ("", "allow_control", False),
        ("", "boot_timeout", 120.0),
    ],
)
def test_native_types(project, line: str, field: str, value: object) -> None:
    if field == "server_release":  # a TOML float loses its last digit: said, not guessed
        project.write("pyproject.toml", f"[tool.pytest]\n{line}\n")
        project.write("test_it.py", SHOW)
        result = project.run("test_it.py")
        assert result.status == 4
        assert "triton_server_release" in result.output
        return
    project.write("pyproject.toml", f"[tool.pytest]\n{line}\n")
    assert told(project)[field] == value


@pytest.mark.parametrize("value", ['"soon"', "-1", "true"])
def test_a_wrong_value_in_a_file_names_its_key(project, value: str) -> None:
    project.write("pyproject.toml", f"[tool.pytest]\ntriton_boot_timeout = {value}\n")
    project.write("test_it.py", SHOW)
    result = project.run("test_it.py")
    assert result.status == 4
    assert "triton_boot_timeout" in result.output or "--triton-boot-timeout" in result.output
    assert "Traceback" not in result.output


def test_in_the_environment(project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_TRITON_TIER", "expert")
    monkeypatch.setenv("PYTEST_TRITON_HEADER", "A: a\nB: b")
    monkeypatch.setenv("PYTEST_TRITON_SCOPE", "setup")
    project.write("pyproject.toml", '[tool.pytest]\ntriton_tier = "advanced"\n')
    assert told(project)["tier"] == "expert"
    assert told(project)["header"] == ["A: ***", "B: ***"]
    assert told(project, "--triton-tier", "basic")["tier"] == "basic"


def test_replaced_in_code(project) -> None:
    project.write(
        "conftest.py",
        """
import dataclasses, pytest
@pytest.fixture(scope="session")
def triton_settings(triton_settings):
    return dataclasses.replace(triton_settings, device="gpu", seed=3)
""",
    )
    settings = told(project, "--triton-device", "cpu")
    assert settings["device"] == "gpu"
    assert settings["seed"] == 3


def test_two_runs_draw_different_seeds_and_say_them(project) -> None:
    project.write("test_it.py", SHOW)
    first, second = told(project)["seed"], told(project)["seed"]
    assert first != second
    assert (
        f"seed {told(project, '--triton-seed=99')['seed']}"
        in project.run("--triton-seed=99").output
    )
