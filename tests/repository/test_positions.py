"""config.pbtxt with positions: what is where, what is wrong, and what Triton would take."""

from __future__ import annotations

import pytest
from config_texts import REFUSED, TAKEN, tensor

from pytest_triton.repository.config import ConfigError, parse_config
from pytest_triton.repository.positions import Located, Position, fields, locate


def decoded(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode("utf-8", "replace")


@pytest.mark.parametrize("name", TAKEN)
def test_what_the_server_takes_is_taken(name: str) -> None:
    assert locate(decoded(TAKEN[name])).mistakes == []


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_server_refuses_is_refused(name: str) -> None:
    assert locate(decoded(REFUSED[name])).mistakes


@pytest.mark.parametrize("name", TAKEN)
def test_it_is_read_as_protobuf_reads_it(name: str) -> None:
    """Where Python's own parser takes a text, ours reads the same message out of it."""
    text = decoded(TAKEN[name])
    try:
        expected = parse_config(text)
    except ConfigError:
        pytest.skip("Python's parser does not take it")
    assert str(locate(text).config) == str(expected)  # nan is not equal to nan


def spelled(text: str, located: Located, *path: str | int) -> tuple[str, str]:
    """The text of a field from its name on, and of its value alone."""
    span = located.span(*path)
    assert span is not None
    lines = text.split("\n")

    def offset(position: Position) -> int:
        return sum(len(line) + 1 for line in lines[: position.line - 1]) + position.column - 1

    start, value, end = offset(span.start), offset(span.value), offset(span.end)
    return text[start:end], text[value:end]


WHOLE = """\
# Größe: ünïcode, and "quotes" in a comment
name: "modèle" # behind
backend:"python"  ;
max_batch_size\t:\t0x10
input [
  { name: 'a' 'b'
      "c" data_type: TYPE_FP32 dims: [ -1, # any
      3 ] },
  < name: "x" data_type: TYPE_INT64 dims: 4 dims: - 5 reshape: { shape: [ ] } >
]
parameters { key: "k" value: { string_value: "日本" } }
parameters: [ { value { string_value: "2" } key: "second" } ]
response_cache { enable: 01 } dynamic_batching { }
sequence_batching { direct { minimum_slot_utilization: 0.5F } } version_policy: { all: {} }"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("path", "field", "value"),
    [
        (("name",), 'name: "modèle"', '"modèle"'),
        (("backend",), 'backend:"python"', '"python"'),
        (("max_batch_size",), "max_batch_size\t:\t0x10", "0x10"),
        (("input", 0, "name"), "name: 'a' 'b'\n      \"c\"", "'a' 'b'\n      \"c\""),
        (("input", 0, "data_type"), "data_type: TYPE_FP32", "TYPE_FP32"),
        (("input", 0, "dims", 0), "dims: [ -1", "-1"),
        (("input", 0, "dims", 1), "dims: [ -1, # any\n      3", "3"),
        (("input", 0, "dims"), "dims: [ -1, # any\n      3", "-1, # any\n      3"),
        (("input", 1, "dims", 0), "dims: 4", "4"),
        (("input", 1, "dims", 1), "dims: - 5", "- 5"),
        (("input", 1, "reshape"), "reshape: { shape: [ ] }", "{ shape: [ ] }"),
        (
            ("parameters", "k"),
            'parameters { key: "k" value: { string_value: "日本" } }',
            '{ key: "k" value: { string_value: "日本" } }',
        ),
        (("parameters", "k", "value", "string_value"), 'string_value: "日本"', '"日本"'),
        (("parameters", "second", "value", "string_value"), 'string_value: "2"', '"2"'),
        (("parameters", "second", "key"), 'key: "second"', '"second"'),
        (("response_cache", "enable"), "enable: 01", "01"),
        (("dynamic_batching",), "dynamic_batching { }", "{ }"),
        (
            ("sequence_batching", "direct", "minimum_slot_utilization"),
            "minimum_slot_utilization: 0.5F",
            "0.5F",
        ),
        (("version_policy", "all"), "all: {}", "{}"),
    ],
)
def test_spans(path: tuple[str | int, ...], field: str, value: str, newline: str) -> None:
    text = WHOLE.replace("\n", newline)
    expected = (field.replace("\n", newline), value.replace("\n", newline))
    assert spelled(text, locate(text), *path) == expected


def test_the_message_is_the_same_with_every_newline() -> None:
    one = locate(WHOLE)
    assert locate(WHOLE.replace("\n", "\r\n")).config == one.config
    assert one.config.input[0].name == "abc"
    assert list(one.config.input[1].dims) == [4, -5]
    assert one.config.max_batch_size == 16
    assert one.config.parameters["k"].string_value == "日本"
    # Both batchers: one of the two is a mistake, and everything is read.
    assert [(m.kind, m.name) for m in one.mistakes] == [("choice", "sequence_batching")]


def test_the_place_of_what_is_not_set_is_that_of_what_is_around_it() -> None:
    located = locate(WHOLE)
    assert located.at("input", 1, "reshape", "shape", 0) == Position(9, 55)
    assert located.at("input", 1, "optional") == Position(5, 1)
    assert located.at("output", 0) == Position(1, 1)
    assert located.at("max_batch_size") == Position(4, 18)
    assert located.span("output") is None


def test_fields_come_in_the_order_of_the_file() -> None:
    starts = [span.start for _, span in fields(locate(WHOLE))]
    assert starts == sorted(starts)
    assert len(starts) > 25


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ('nam: "m"\nbackend: "p"\n', [("field", (1, 1), "nam", ("nam",))]),
        (
            'input [ { name: "x" type: TYPE_FP32 } ]\nmax_batch: 3\nfoo: "a" "b" bar: - 3',
            [
                ("field", (1, 21), "type", ("input", 0, "type")),
                ("field", (2, 1), "max_batch", ("max_batch",)),
                ("field", (3, 1), "foo", ("foo",)),
                ("field", (3, 14), "bar", ("bar",)),
            ],
        ),
        (
            tensor("data_type: FP32 dims: [ 1 ]") + "foo { bar: [ { a: 1 } ] }\n",
            [("value", (2, 32), "FP32", ("input", 0, "data_type")), ("field", (3, 1), "foo", ("foo",))],
        ),
        (
            "max_batch_size: 8.0\nresponse_cache { enable: yes }\n",
            [
                ("kind", (1, 17), "8.0", ("max_batch_size",)),
                ("kind", (2, 26), "yes", ("response_cache", "enable")),
            ],
        ),
        (
            'max_batch_size: 3\nname: "a"\nmax_batch_size: 3\nname: "b"\n',
            [
                ("twice", (3, 1), "max_batch_size", ("max_batch_size",)),
                ("twice", (4, 1), "name", ("name",)),
            ],
        ),
        (
            "dynamic_batching { preserve_ordering: true }\ndynamic_batching { preserve_ordering: true }",
            [
                ("twice", (2, 1), "dynamic_batching", ("dynamic_batching",)),
                ("twice", (2, 20), "preserve_ordering", ("dynamic_batching", "preserve_ordering")),
            ],
        ),
        (
            "version_policy { all { } latest { } }",
            [("choice", (1, 26), "latest", ("version_policy", "latest"))],
        ),
        (
            'parameters { key: "a" key: "b" }',
            [("twice", (1, 23), "key", ("parameters", "?", "key"))],
        ),
    ],
)  # fmt: skip
def test_one_mistake_does_not_hide_the_others(
    text: str, mistakes: list[tuple[str, tuple[int, int], str, tuple[str | int, ...]]]
) -> None:
    found = [(m.kind, tuple(m.position), m.name, m.path) for m in locate(text).mistakes]
    assert found == mistakes


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ('name: "m\nbackend: "p"\n', (1, 7)),
        ("input [ {\n  dims: [ 1 2 ]\n} ]", (2, 13)),
        ('name: "a\\qb"', (1, 9)),
        ('name: "ab\0"', (1, 10)),
        ("max_batch_size:\u00a08", (1, 16)),
        ('backend = "p"', (1, 9)),
        ("input [ { } }", (1, 13)),
    ],
)
def test_where_reading_ends(text: str, position: tuple[int, int]) -> None:
    (mistake,) = locate(text).mistakes
    assert mistake.kind == "syntax"
    assert mistake.position == Position(*position)


@pytest.mark.parametrize(
    "text", ["input [ {", "input [", "dynamic_batching {", "name:", "parameters { key"]
)
def test_an_error_at_the_end_of_the_file(text: str) -> None:
    for written in (text, text + "\n", text + "\n\n# comment"):
        (mistake,) = locate(written).mistakes
        assert mistake.kind == "syntax"
        assert mistake.position.line <= written.count("\n") + 1


def test_a_reason_does_not_carry_the_line() -> None:
    """The parser puts the whole line in front: it may be long, or hold what is not printable."""
    (mistake,) = locate("x" * 100_000 + " = 3").mistakes[-1:]
    assert len(mistake.reason) < 200


@pytest.mark.parametrize("depth", [50, 5_000])
def test_deep_nesting(depth: int) -> None:
    located = locate("foo " + "{ a " * depth + "}" * depth)
    assert located.mistakes
    assert located.config.name == ""


def test_a_key_that_comes_again() -> None:
    entry = 'parameters { key: "a" value { string_value: "%d" } }'
    text = entry % 1 + "\n" + entry % 2
    located = locate(text)
    assert located.mistakes == []
    assert [(path, span.start) for path, span in located.overwritten] == [
        (("parameters", "a"), Position(2, 1))
    ]
    assert spelled(text, located, "parameters", "a", "value", "string_value")[1] == '"2"'


def test_a_byte_order_mark_does_not_hide_the_rest() -> None:
    located = locate("\ufeffmax_batch_size: 8\nfoo: 3")
    assert [(m.kind, m.position) for m in located.mistakes] == [
        ("mark", Position(1, 1)),
        ("field", Position(2, 1)),
    ]
    assert located.config.max_batch_size == 8
    assert located.at("max_batch_size") == Position(1, 18)


@pytest.mark.parametrize(
    ("text", "size", "kind"),
    [
        ("max_batch_size: '8' input { data_type: 'TYPE_FP32' }", 8, 11),
        ('max_batch_size: 8.0 input { data_type: "FP32" }', 8, 0),
        ("max_batch_size: +1_6 input { data_type: 8.5 }", 16, 0),
        ("max_batch_size: 99999999999 input { data_type: 99999999999999999999 }", 2**31 - 1, 0),
        ("max_batch_size: eight input { data_type: -TYPE_FP32 }", 0, 0),
    ],
)
def test_what_was_plainly_meant_is_taken_for_it(text: str, size: int, kind: int) -> None:
    located = locate(text)
    assert located.mistakes
    assert located.config.max_batch_size == size
    if located.config.input:
        assert located.config.input[0].data_type == kind


def test_an_entry_without_a_key() -> None:
    located = locate('parameters { value { string_value: "1" } }\nmetric_tags { }')
    assert located.span("parameters", "") is not None
    assert located.span("metric_tags", "") is not None


def test_doubtful() -> None:
    located = locate('input [ { name: "x" type: TYPE_FP32 } , { name: "y" } ]\nfoo: 3')
    assert located.doubtful("input", 0)
    assert not located.doubtful("input", 1)
    assert located.doubtful("foo")
    assert locate("input [").doubtful("anything")
