"""Whether a clause can be judged: in which order that is asked, and the code of each reason."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_triton.criteria import Clause, NotAssessed
from pytest_triton.gate import check
from pytest_triton.settings import Settings

ENDPOINT = Settings(url="http://h:8000")


class Everything:
    """A subject that has everything but what a test takes away."""

    release: str | None = "24.10"

    def __init__(self, **less: Any) -> None:
        self.less = less
        self.hidden: str = less.get("hidden", "")
        self.asked: list[str] = []

    def capability(self, name: str) -> bool:
        self.asked.append(name)
        return name not in self.less.get("capabilities", ())

    def obstacle(self, prerequisite: str) -> str | None:
        self.asked.append(prerequisite)
        return self.less.get("obstacles", {}).get(prerequisite)

    def has_endpoint(self, name: str) -> bool:
        return name not in self.less.get("endpoints", ())


def _clause(**fields: Any) -> Clause:
    return Clause("TST-01", "config", "t", "m", "s", "h", **fields)


def _code(clause: Clause, subject: Everything, settings: Settings) -> str:
    with pytest.raises(NotAssessed) as hole:
        check(clause, subject, settings)
    return hole.value.code.value


WHOLE = _clause(
    needs=("control", "load", "quiet", "grpc", "metrics"), after=("live", "model"),
    releases=("24.07", "24.12"), requires="owned and not gpu",
)  # fmt: skip


def test_everything_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)
    check(WHOLE, Everything(capabilities=("gpu",)), Settings())
    check(_clause(), Everything(), ENDPOINT)


@pytest.mark.parametrize(
    ("settings", "workers", "less", "code"),
    [
        (ENDPOINT, 2, {}, "needs_control"),
        (Settings(url="u", allow_control=True), 2, {}, "needs_load"),
        (Settings(url="u", allow_control=True, allow_load=4), 2, {}, "neighbours"),
        (Settings(), 2, {"endpoints": ("grpc",)}, "neighbours"),
        (Settings(), 1, {"endpoints": ("grpc",), "obstacles": {"live": "down"}}, "no_endpoint"),
        (Settings(), 1, {"endpoints": ("metrics",), "obstacles": {"live": "down"}}, "no_endpoint"),
        (Settings(), 1, {"obstacles": {"live": "down", "model": "none"}}, "blocked"),
        (Settings(), 1, {"obstacles": {"model": "none"}}, "blocked"),
        (Settings(), 1, {}, "not_applicable"),
    ],
)
def test_the_first_reason_counts(
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    workers: int,
    less: dict[str, Any],
    code: str,
) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", str(workers))
    assert _code(WHOLE, Everything(**less), settings) == code


@pytest.mark.parametrize("release", ["24.06", "25.01"])
def test_other_releases(release: str) -> None:
    subject = Everything()
    subject.release = release
    assert _code(_clause(releases=("24.07", "24.12")), subject, Settings()) == "not_applicable"
    subject.release = None  # nobody knows: the clause holds
    check(_clause(releases=("24.07", "24.12")), subject, Settings())


def test_the_first_obstacle_is_the_reason_and_no_more_is_asked() -> None:
    subject = Everything(obstacles={"live": "the server is down"})
    clause = _clause(after=("live", "model"), requires="owned")
    with pytest.raises(NotAssessed, match="the server is down"):
        check(clause, subject, Settings())
    assert subject.asked == ["live"]


def test_the_reason_says_what_is_wanted() -> None:
    with pytest.raises(NotAssessed, match=r"requires gpu or ensemble \(ensemble: .*; gpu: "):
        check(
            _clause(requires="gpu or ensemble"),
            Everything(capabilities=("gpu", "ensemble")),
            Settings(),
        )


def test_what_cannot_be_seen_is_no_lack() -> None:
    """A restricted API hides the models: a clause about them is open, not out of the question."""
    hidden = "the server restricts this API"
    for requires, code in (("unary", "blocked"), ("not gpu and unary", "blocked"),
                           ("owned and unary", "not_applicable")):  # fmt: skip
        subject = Everything(hidden=hidden, capabilities=("unary", "owned", "gpu"))
        assert _code(_clause(requires=requires), subject, Settings()) == code, requires
