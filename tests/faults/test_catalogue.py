"""Every built clause has a fault, and every fault is about clauses that there are."""

from __future__ import annotations

from pathlib import Path

import pytest
from faulty.data import ON_THE_WIRE, read_faults

from pytest_triton.criteria import load

CLAUSES = load().clauses
FAULTS = read_faults()


@pytest.mark.parametrize("clause", [name for name, clause in CLAUSES.items() if clause.built])
def test_every_built_clause_has_a_fault(clause: str) -> None:
    assert any(fault.clause == clause for fault in FAULTS), (
        f"nothing shows that {clause} can fail: add a [[fault]] to tests/faults/"
        f"{CLAUSES[clause].area}.toml"
    )


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_a_fault_names_clauses_that_there_are(fault) -> None:
    for name in (fault.clause, *fault.may_fail, *fault.consequences, *fault.run):
        assert name in CLAUSES, f"there is no clause {name}"
    assert CLAUSES[fault.clause].built, f"{fault.clause} is not built: it cannot fail"
    assert fault.clause not in fault.companions


def test_a_fault_runs_its_clause(collected) -> None:
    for fault in FAULTS:
        tests = collected.get(fault.clause)
        assert tests, f"{fault.id}: no test judges {fault.clause}"
        boots = tests["boots"] or (tests["probes"] and fault.kind not in ON_THE_WIRE)
        left_out = CLAUSES[fault.clause].measured or boots
        assert fault.clause in fault.run or not left_out, f"{fault.id}: put the clause into run"


def test_a_slow_test_takes_no_other_along(collected) -> None:
    """What is left out is left out by its id and everything that begins with it."""
    slow = {
        node: name
        for name, tests in collected.items()
        for node in tests["nodes"]
        if CLAUSES[name].measured or CLAUSES[name].waits or tests["boots"]
    }
    every = {node: name for name, tests in collected.items() for node in tests["nodes"]}
    along = [
        (short, long)
        for short, name in slow.items()
        for long, other in every.items()
        if other != name and long.startswith(short)
    ]
    assert not along, f"rename the second of each pair: {along}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[fault]]\nclause = "X-01"\n', "missing"),
        ('[[fault]]\nname="a"\nclause="X-01"\nkind="wire"\nwhat="w"\nreason="r"\n', "rules"),
        ('[[fault]]\nname="a"\nclause="X-01"\nkind="smoke"\nwhat="w"\nreason="r"\n', "kind"),
        ('[[fault]]\nname="a"\nklause="X-01"\n', "unknown keys"),
        ('[[fault]]\nname="a"\nclause="X-01"\nkind="repository"\nwhat="w"\nreason="r"\n'
         'edit=[{path="a", erase=true}]\n', "no erase"),
    ],
)  # fmt: skip
def test_wrong_data_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_faults(tmp_path)
