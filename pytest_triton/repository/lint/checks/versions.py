"""Rules VER001 to VER005: version policy against version directories."""

from __future__ import annotations

from pytest_triton.repository.config import selected_versions
from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.registry import check

#: Triton reads a version with std::stoll.
_LARGEST = 2**63 - 1


@check("VER001", "VER002", "VER003")
def policy(model: LintedModel) -> None:
    """What the policy selects."""
    config = model.config
    choice = config.version_policy.WhichOneof("policy_choice")
    if choice == "latest" and not config.version_policy.latest.num_versions:
        where = ("version_policy", "latest", "num_versions")
        model.report(
            "VER001",
            "latest with num_versions 0 serves no version: Triton refuses the model",
            where,
            fix="write  num_versions: 1",
            edits=model.replacing(where, "1") or model.replacing(where[:2], "{ num_versions: 1 }"),
        )
        return
    if choice is None and config.HasField("version_policy"):
        model.report(
            "VER003",
            "an empty version_policy serves all versions, not the latest",
            ("version_policy",),
            fix="write  version_policy { all { } }  or take it out",
            edits=model.replacing(("version_policy",), "{ all { } }"),
        )
    if choice == "specific":
        _specific(model)


def _specific(model: LintedModel) -> None:
    where = ("version_policy", "specific")
    wanted = list(model.config.version_policy.specific.versions)
    if not wanted:
        model.report(
            "VER001", "specific names no version: Triton refuses the model", where,
            fix="write  specific { versions: [ 1 ] }",
        )  # fmt: skip
        return
    if model.directory is None or not model.directory.versions:
        return
    present = model.directory.versions
    shown = ", ".join(map(str, present[-5:]))
    if not selected_versions(model.config, present):
        model.report(
            "VER001",
            f"version_policy wants {_listed(wanted)}, and the directory has {shown}: Triton "
            "refuses the model",
            where,
            fix=f"write  versions: [ {present[-1]} ]",
        )
        return
    if missing := [version for version in wanted if version not in present]:
        model.report(
            "VER002",
            f"version_policy wants {_listed(missing)} too, and the directory has only {shown}: "
            "Triton serves those and says nothing",
            (*where, "versions", wanted.index(missing[0])),
            fix="add the directory, or take the version out",
        )


def _listed(versions: list[int]) -> str:
    return "version " + ", ".join(map(str, versions[:5]))


@check("VER004", "VER005", needs_config=False)
def directories(model: LintedModel) -> None:
    """Version directories with numbers that nobody means."""
    if model.directory is None:
        return
    for version in model.directory.versions:
        if version > _LARGEST:
            model.report(
                "VER005",
                f"version directory {str(version)[:40]} is larger than {_LARGEST}: reading it "
                "ends the whole server (std::out_of_range, stoll)",
                file=str(version),
                fix="give it a smaller number",
            )
        elif version == 0:
            model.report(
                "VER004",
                "version directory 0: Triton serves it, and its documentation begins at 1",
                file="0",
                fix="rename it to 1",
            )
