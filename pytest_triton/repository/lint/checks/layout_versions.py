"""Rules LAY001 to LAY005: version directories, and the model's file in each of them."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from pytest_triton.repository.config import backend_of, selected_versions
from pytest_triton.repository.layout import is_version
from pytest_triton.repository.lint.backends import backend
from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.registry import check
from pytest_triton.repository.lint.tree import Item, item, items, look

#: Backend -> files of which one has to be in a version directory; of the others nobody knows.
FILES = {
    "pytorch": ("model.pt",),
    "python": ("model.py",),
    "onnxruntime": ("model.onnx",),
    "tensorrt": ("model.plan",),
}
#: Backends that open default_model_filename; any other may read something else.
_OPENING = frozenset({*FILES, "tensorflow", "openvino", "fil"})
_TENSORFLOW = {
    "tensorflow_graphdef": "model.graphdef",
    "tensorflow_savedmodel": "model.savedmodel",
}
#: What holds a model, whatever its name.
_SUFFIXES = {
    "pytorch": (".pt", ".pth", ".ts", ".torchscript", ".jit", ".bin", ".zip"),
    "python": (".py",),
    "onnxruntime": (".onnx",),
    "tensorrt": (".plan", ".engine", ".trt"),
    "tensorflow": (".graphdef", ".pb", ".savedmodel"),
}
_MODELS = tuple({suffix for suffixes in _SUFFIXES.values() for suffix in suffixes}
                - {".bin", ".zip", ".py"})  # fmt: skip
_VERSION_LIKE = re.compile(r"[vV]?[\d._-]*\d|latest|version[\W_]?\d*", re.ASCII)


def wanted_files(model: LintedModel) -> tuple[str, ...]:
    """Names of which a version directory has to hold one; empty when nobody can tell."""
    config = model.config
    if config.default_model_filename:
        return (str(config.default_model_filename),)
    if config.platform in _TENSORFLOW:
        return (_TENSORFLOW[config.platform],)
    if config.runtime and backend_of(config) == "pytorch":
        return ("model.py", "model.pt")
    if config.platform == "torch_aoti":
        return ("model.pt2",)
    return FILES.get(backend(model), ())


@check("LAY001", needs_config=False)
def no_version(model: LintedModel) -> None:
    """Nothing to load: no directory whose name is a number."""
    directory = model.directory
    if directory is None or directory.versions or directory.unreadable:
        return
    if any(one.what == "broken link" and is_version(one.name) and not one.folder
           for one in items(model)):  # fmt: skip
        return  # LAY006
    if (meant := meant_version(model)) is not None:
        name, why = meant
        number = "".join(re.findall(r"[0-9]+", name)[:1]).lstrip("0")
        model.report(
            "LAY001",
            f"no version directory: Triton ignores {name!r} ({why}) and refuses the model",
            file=name,
            fix=f"rename it to {number or 1}/",
        )
        return
    if not model.configured:
        return  # LAY010 and LAY011 say what this is
    found = [one.name for one in items(model) if _is_model_file(model, one)]
    where = f"{found[0]} into it" if found else "the model's file into it"
    if backend(model) == "ensemble":
        where = "nothing into it"
    model.report(
        "LAY001",
        "no version directory: Triton refuses the model",
        fix=f"make a directory 1/ and put {where}",
    )


def meant_version(model: LintedModel) -> tuple[str, str] | None:
    """The ignored directory that was meant to be a version, and why it is ignored."""
    for name, why in model.directory.ignored if model.directory else ():
        if why == "leading zero" or _VERSION_LIKE.fullmatch(name) or _holds_model(model, name):
            return name, why
    return None


def _is_model_file(model: LintedModel, one: Item) -> bool:
    if one.folder or one.what != "file":
        return False
    wanted = wanted_files(model) or tuple(name for names in FILES.values() for name in names)
    return one.name in wanted or one.name.endswith(_MODELS)


@check("LAY002", needs_config=False)
def model_file(model: LintedModel) -> None:
    """The file that the backend opens, in every version that is served."""
    directory, wanted = model.directory, wanted_files(model)
    if directory is None or not wanted or not (model.readable or not model.configured):
        return
    if backend(model) not in _OPENING or model.config.platform == "ensemble":
        return  # CFG012
    misread = {number for _, number in directory.misread}
    for version in selected_versions(model.config, directory.versions):
        folder = directory.version_path(version)
        if not folder.is_dir() and version in misread:
            continue  # LAY004
        paths = [folder / name.lstrip("/") for name in _names(model, wanted)]
        if any(_usable(model, path) for path in paths):
            continue
        _report_file(model, version, folder, paths)


def _names(model: LintedModel, wanted: tuple[str, ...]) -> tuple[str, ...]:
    return (*wanted, *map(str, model.config.cc_model_filenames.values()))


def _usable(model: LintedModel, path: Path) -> bool:
    try:
        if backend(model) in ("python", "pytorch") and path.is_dir():
            return False
        return path.exists()
    except OSError:
        return True  # LAY007 says that it cannot be read


def _report_file(model: LintedModel, version: int, folder: Path, paths: list[Path]) -> None:
    name = paths[0].name
    found = look(paths[0], name)
    name = paths[0].relative_to(folder).as_posix() if ".." not in paths[0].parts else name
    if found.what == "broken link":
        what = f"{version}/{name} is a link that leads nowhere"
        fix = "copy the file there"
    elif found.what == "directory":
        what = f"{version}/{name} is a directory"
        fix = f"put the model's file there, as {name}"
    else:
        what = f"{version}/{name} is missing"
        near = _nearest(model, folder, name)
        fix = near or f"put the model's file there, as {name}"
    if backend(model) == "python" and found.what != "directory":
        does = "Triton hangs for ever, with all ports closed"
    elif backend(model) == "pytorch" and found.what == "directory":
        does = "NVIDIA's server ends"
    else:
        does = "Triton refuses the model"
    named = bool(model.config.default_model_filename)
    model.report(
        "LAY002",
        f"{what}: {does}",
        ("default_model_filename",) if named else (),
        file="" if named or model.configured else f"{version}",
        fix=fix,
    )


def _nearest(model: LintedModel, folder: Path, name: str) -> str:
    """What was most likely meant for the missing file."""
    inside = [one for one in items(model) if one.path.parent == folder and one.what == "file"]
    names = [one.name for one in inside]
    suffixes = _SUFFIXES.get(backend(model), ())
    same = [one for one in names if one.lower() == name.lower()]
    kin = [one for one in names if one.lower().endswith(suffixes) and one != "__init__.py"]
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.75)
    for choice in (same, kin if len(kin) == 1 else [], close):
        if choice:
            return f'rename {choice[0]} to {name}, or write  default_model_filename: "{choice[0]}"'
    beside = [one for one in items(model) if not one.folder and one.what == "file"]
    for one in beside:
        if one.name == name or one.name.endswith(suffixes):
            return f"move {one.name} into {folder.name}/" + (
                "" if one.name == name else f" as {name}"
            )
    return ""


@check("LAY003", "LAY004", needs_config=False)
def misnamed_versions(model: LintedModel) -> None:
    """Directories that look like versions to a person, or to Triton alone."""
    directory = model.directory
    if directory is None:
        return
    for name, why in directory.ignored if directory.versions else ():
        if why == "leading zero" or _VERSION_LIKE.fullmatch(name) or _holds_model(model, name):
            model.report(
                "LAY003",
                f"Triton does not take {name!r} for a version ({why}) and says so only in its log",
                file=name,
                fix="rename it to a number, or move it out of the model's directory",
            )
    served = selected_versions(model.config, directory.versions) if model.readable else (
        directory.versions[-1:]
    )  # fmt: skip
    for name, number in directory.misread:
        proper = item(model, str(number)) if number >= 0 else None
        if proper is not None and proper.what == "directory":
            text, severity = f"version {number}, which is there as well", "warning"
        elif number not in served:
            text, severity = f"version {number}, which the policy does not serve", "warning"
        else:
            does = "hangs for ever" if backend(model) == "python" else "refuses the model"
            text, severity = f"version {number}, looks for it in {number}/ and {does}", "error"
        model.report(
            "LAY004",
            f"Triton takes {name!r} for {text}",
            file=name,
            fix="rename it so that it does not begin with a number, or move it out of the model's "
            "directory",
            severity="error" if severity == "error" else "warning",
        )


def _holds_model(model: LintedModel, folder: str) -> bool:
    wanted = wanted_files(model)
    if any(folder in name.split("/") for name in wanted):
        return False  # default_model_filename leads there
    return any(
        one.folder == folder and (one.name in wanted or one.name.endswith(_MODELS))
        for one in items(model)
    )


@check("LAY005", needs_config=False)
def beside(model: LintedModel) -> None:
    """A model's file beside the version directories, where nobody looks for it."""
    directory = model.directory
    if directory is None or not directory.versions:
        return
    wanted = wanted_files(model)
    for one in items(model):
        if one.folder or one.what != "file" or one.name not in wanted:
            continue
        if any((directory.version_path(v) / one.name).exists() for v in directory.versions):
            model.report(
                "LAY005",
                f"{one.name} lies beside the version directories: Triton does not read it",
                file=one.relative,
                fix="delete it, or put it into a version directory of its own",
            )
