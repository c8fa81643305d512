"""What clauses of control see on healthy servers of every release that can be installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pytest_triton.deployment import Deployment
from pytest_triton.factory import Disposable, ServerFactory
from pytest_triton.launch.store import RELEASES, install
from pytest_triton.overriding import (
    MARK,
    OVERRIDDEN,
    failing_reloads,
    override,
    override_files,
    under_policy,
)
from pytest_triton.own_models import (
    CHANGED,
    CUSTOM_VALUE,
    GONE,
    GROWN,
    PLAIN_VALUE,
    UNTOUCHED,
    telling_source,
    write_python_model,
)
from pytest_triton.polling import MARK as NEW_MARK
from pytest_triton.polling import VALUE, Polled
from pytest_triton.roundtrip import fields_set, lost_fields
from pytest_triton.served import parse_served
from pytest_triton.settings import Settings
from pytest_triton.stressing import stress
from pytest_triton.subject import Subject
from pytest_triton.telling import plain, tell

#: Written as people write them, and rewritten by no release.
RICH = """
max_batch_size: 8
input [ { name: "IN" data_type: TYPE_INT32 dims: [ 1 ] reshape { shape: [ ] } optional: false } ]
output [ { name: "OUT" data_type: TYPE_INT32 dims: [ 4 ] } ]
instance_group [
  { kind: KIND_CPU count: 2 name: "two" rate_limiter { resources { name: "R" count: 1 } } },
  { kind: KIND_CPU count: 0 }
]
dynamic_batching {
  preferred_batch_size: [ 8, 4 ]
  max_queue_delay_microseconds: 0
  preserve_ordering: false
  priority_levels: 2
  default_priority_level: 2
  priority_queue_policy { key: 1 value { timeout_action: DELAY max_queue_size: 3 } }
}
parameters [ { key: "A" value { string_value: "" } }, { key: "B b" value { string_value: "x" } } ]
metric_tags { key: "t" value: "" }
optimization { priority: PRIORITY_DEFAULT input_pinned_memory { enable: false } }
version_policy { specific { versions: [ 1, 7 ] } }
model_transaction_policy { decoupled: false }
model_warmup [ {
  name: "w" batch_size: 1 count: 0
  inputs { key: "IN" value { data_type: TYPE_INT32 dims: [ 1 ] zero_data: true } }
} ]
"""


@pytest.fixture(scope="module", params=sorted(RELEASES))
def factory(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerFactory]:
    install(request.param)
    settings = Settings(server_release=request.param, device="cpu")
    with ServerFactory(settings, tmp_path_factory.mktemp("servers"), lambda _: None) as factory:
        yield factory


@pytest.fixture(scope="module")
def disposable(
    factory: ServerFactory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Disposable]:
    repository = tmp_path_factory.mktemp("repository")
    write_python_model(repository / "rich", telling_source(), f'backend: "python"{RICH}')
    release = factory._settings.server_release
    judged = Deployment("repository", "", repository=repository, models=("rich",), release=release)
    deployment, model = factory.disposable(judged)
    with ExitStack() as stack:
        subject = Subject(deployment, factory._settings)
        stack.callback(subject.close)
        yield Disposable(subject, model)


def test_a_rich_configuration_survives(disposable: Disposable) -> None:
    repository = disposable.subject.deployment.repository
    assert repository is not None
    text = (repository / "rich" / "config.pbtxt").read_text()
    assert fields_set(text) > 60
    assert lost_fields(text, parse_served(disposable.subject.http.model_config("rich"))) == []


def test_overrides_come_and_go(disposable: Disposable) -> None:
    seen = override(disposable)
    assert (seen.before, seen.during, seen.after) == (plain(), (10, OVERRIDDEN, 0), plain())
    assert (seen.served, seen.served_after) == (str(OVERRIDDEN), None)
    assert override_files(disposable).during == (10, OVERRIDDEN, MARK)
    assert tell(disposable.subject.http, disposable.controlled) == plain()


def test_failing_reloads_change_nothing(disposable: Disposable) -> None:
    seen = failing_reloads(disposable)
    assert seen.told == [plain()]
    assert seen.asked > 2
    assert None not in seen.refusals.values()
    assert seen.states["10"] == "READY"
    assert seen.mended == plain()


@pytest.mark.parametrize(
    ("policy", "versions"),
    [
        ({"latest": {"num_versions": 2}}, (9, 10)),
        ({"all": {}}, (2, 9, 10)),
        ({"specific": {"versions": [9]}}, (9,)),
    ],
)
def test_policies(disposable: Disposable, policy: dict, versions: tuple[int, ...]) -> None:
    seen = under_policy(disposable, policy)
    assert seen.ready == versions
    assert seen.metadata == tuple(map(str, versions))
    assert seen.told[""] == plain(versions[-1])
    assert all(seen.told[str(each)] == plain(each) for each in versions)
    assert tell(disposable.subject.http, disposable.controlled) == plain()


def test_a_custom_configuration(disposable: Disposable) -> None:
    named = (disposable.subject.release or "") >= "24.07"
    expected = CUSTOM_VALUE if named else PLAIN_VALUE
    assert tell(disposable.subject.http, disposable.custom) == (1, expected, 0)


def test_concurrent_control(disposable: Disposable) -> None:
    seen = stress(disposable)
    assert seen.live
    assert seen.wrong == seen.double == []
    # In the little time that it lasts a machine that is busy may manage no more.
    assert seen.loads
    assert seen.unloads
    assert seen.told[disposable.controlled] == plain()
    assert all("READY" in found.values() for found in seen.states.values())


def test_polling(factory: ServerFactory) -> None:
    deployment, repository = factory.polled()
    subject = Subject(deployment, factory._settings)
    polled = Polled(subject, repository)
    seen = polled.watched()
    assert seen.told[CHANGED] == [(1, 0, 0), (1, VALUE, 0)]
    assert seen.told[GROWN] == [(1, 0, 0), (2, 0, NEW_MARK)]
    assert seen.told[UNTOUCHED] == [(1, 0, 0)]
    assert GONE in str(seen.told[GONE][-1])
    assert not Path(repository / GONE).exists()
    polled.close()
    subject.close()
    factory.stop(deployment)
