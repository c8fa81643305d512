"""Rules CCH001 to CCH003: the response cache."""

from __future__ import annotations

from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.registry import check


@check("CCH001", "CCH002", "CCH003")
def response_cache(model: LintedModel) -> None:
    """A cache that Triton refuses, or that depends on how the server is started."""
    config = model.config
    if not config.response_cache.enable:
        return
    off = model.replacing(("response_cache", "enable"), "false")
    where = ("response_cache", "enable")
    if config.HasField("sequence_batching"):
        model.report(
            "CCH001",
            "the response cache cannot go with sequence_batching: Triton refuses the model",
            where, fix="take out response_cache", edits=off,
        )  # fmt: skip
    elif config.model_transaction_policy.decoupled:
        model.report(
            "CCH002",
            "the response cache cannot go with a decoupled model: Triton refuses the model",
            where, fix="take out response_cache", edits=off,
        )  # fmt: skip
    else:
        model.report(
            "CCH003",
            "the cache works only in a server that is started with --cache-config; without it "
            "Triton loads the model, caches nothing and says nothing",
            where, fix="start Triton with  --cache-config local,size=…",
        )  # fmt: skip
