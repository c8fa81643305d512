"""Rules ENS001 to ENS007: the ensemble itself, and the models that its steps name."""

from __future__ import annotations

from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.finding import Edit
from pytest_triton.repository.lint.graph import cycle, is_ensemble, served_versions, steps_of
from pytest_triton.repository.lint.near import nearest, quoted
from pytest_triton.repository.lint.registry import check
from pytest_triton.repository.positions import Position

_REFUSED = "Triton refuses the ensemble"


@check("ENS001", "ENS002")
def kind(model: LintedModel) -> None:
    """platform "ensemble", no backend, and steps: all three or none."""
    config = model.config
    if not is_ensemble(model):
        lost = any(path[0] == "ensemble_scheduling" for path, _ in model.located.overwritten)
        if config.platform == "ensemble" and not lost:
            model.report(
                "ENS001",
                f'platform "ensemble" without ensemble_scheduling: {_REFUSED}',
                ("platform",),
                fix="add  ensemble_scheduling { step [ … ] }",
            )
        return
    if not config.ensemble_scheduling.step:
        told = f"ensemble_scheduling has no step: {_REFUSED}"
        model.report("ENS001", told, ("ensemble_scheduling",), fix="add a step for each model")
    if config.platform == "ensemble":
        return
    if config.backend:
        model.report(
            "ENS002",
            f"an ensemble has no backend, this one has {config.backend!r}: {_REFUSED}",
            ("backend",),
            fix='write  platform: "ensemble"  instead',
        )
    else:
        told = f"is {config.platform!r}" if config.platform else "is not set"
        model.report(
            "ENS002",
            f"the platform of an ensemble {told}: {_REFUSED}",
            ("platform",) if config.platform else ("ensemble_scheduling",),
            fix='write platform: "ensemble"',
            edits=model.replacing(("platform",), '"ensemble"')
            or model.appending('platform: "ensemble"\n'),
        )


@check("ENS003")
def not_for_ensembles(model: LintedModel) -> None:
    """An ensemble executes nothing itself."""
    if not is_ensemble(model):
        return
    for field in ("instance_group", "optimization", "model_warmup"):
        if model.span(field):
            model.report(
                "ENS003",
                f"{field} on an ensemble, which executes nothing itself: {_REFUSED}",
                (field,),
                fix=f"remove {field}, or write it on the models of the steps",
                edits=model.removing((field,)),
            )


@check("ENS004")
def whole_steps(model: LintedModel) -> None:
    """A step names its model, and maps inputs and outputs."""
    for step in steps_of(model):
        for field in ("model_name", "input_map", "output_map"):
            if not getattr(step.message, field) and not model.located.doubtful(*step.path):
                model.report(
                    "ENS004",
                    f"step {step.index} has no {field}: {_REFUSED}",
                    step.path,
                    fix=f"add {field}",
                )


@check("ENS005")
def versions(model: LintedModel) -> None:
    """The version that a step asks for; proto3's default is 0, not the latest."""
    for step in steps_of(model):
        wanted = step.message.model_version
        written = model.span(*step.path, "model_version") is not None
        where = (*step.path, "model_version") if written else step.path
        served = served_versions(step.model) if step.model else None
        if model.located.doubtful(*step.path):
            continue
        if wanted == -1 or served == () or (served is not None and wanted in served):
            continue
        edits = model.replacing((*step.path, "model_version"), "-1")
        if not written and (name := model.span(*step.path, "model_name")):
            edits = _after(name.end, " model_version: -1")
        if not written or wanted == 0:
            known = step.model is not None or bool(step.message.model_name and served)
            model.report(
                "ENS005",
                f"step {step.index} "
                + ("asks for" if written else "has no model_version, which means")
                + f" version 0 of {step.name!r}, not the latest"
                + (f": {_REFUSED}" if known else ""),
                where,
                fix="write model_version: -1 for the latest",
                edits=edits,
                severity=None if known and served is not None else "warning",
            )
        elif wanted < -1:
            told = f"step {step.index} asks for version {wanted} of {step.name!r}: {_REFUSED}"
            model.report(
                "ENS005", told, where, fix="write model_version: -1 for the latest", edits=edits
            )
        elif served is not None:
            model.report(
                "ENS005",
                f"step {step.index} asks for version {wanted} of {step.name!r}, which serves "
                f"{', '.join(map(str, served))}: {_REFUSED}",
                where,
                fix="write model_version: -1 for the latest, or change the version_policy of "
                f"{step.name!r}",
                edits=edits,
            )


def _after(position: Position, text: str) -> tuple[Edit, ...]:
    return (Edit(position, position, text),)


@check("ENS006", "ENS007")
def models(model: LintedModel) -> None:
    """Each step's model is in the repository, and is not made of this ensemble."""
    repository = model.repository
    if not is_ensemble(model) or repository is None:
        return
    for step in steps_of(model):
        if not repository.whole or step.message.model_namespace or not step.name:
            continue
        if step.name in repository.models:
            continue
        near = nearest(model, step.name, repository.models)
        model.report(
            "ENS006",
            f"step {step.index} runs {step.name!r}, which is not in the repository: {_REFUSED}",
            (*step.path, "model_name"),
            fix=f"write model_name: {quoted(near)}" if near else "add that model",
            edits=model.replacing((*step.path, "model_name"), quoted(near)) if near else (),
        )
    if way := cycle(model):
        first = next(step for step in steps_of(model) if step.name == way[1])
        model.report(
            "ENS007",
            f"the ensemble is made of itself: {' -> '.join(way)}: {_REFUSED}",
            (*first.path, "model_name"),
            fix="name the models that do the work",
        )
