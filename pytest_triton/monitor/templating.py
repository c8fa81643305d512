"""Queries of a dashboard as PromQL: variables filled in, ranges and labels made to fit a live look."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

_VARIABLE = re.compile(
    r"\$\{(?P<a>[A-Za-z_]\w*)(?:\.[\w.]+)?(?::[^}]*)?\}"
    r"|\[\[(?P<b>[A-Za-z_]\w*)(?::[^\]]*)?\]\]"
    r"|\$(?P<c>[A-Za-z_]\w*)"
)
_STRING = r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`[^`]*`"
_MATCHER = re.compile(rf"(?P<sign>=~|!~|!=|=)?(?P<blank>\s*)(?P<text>{_STRING})")
_RANGE = re.compile(
    rf"(?P<text>{_STRING})|\[\s*(?P<range>[0-9][0-9a-z]*)\s*(?P<colon>:\s*[0-9a-z]*)?\s*\]"
)
_ONE = rf"\s*[A-Za-z_]\w*\s*(?:=~|!~|!=|=)\s*(?:{_STRING})\s*"
_BRACES = re.compile(rf"(?P<text>{_STRING})|\{{(?P<inner>{_ONE}(?:,{_ONE})*,?\s*)\}}")
_LABEL = re.compile(rf"\s*(?P<label>[A-Za-z_]\w*)\s*(?:=~|!~|!=|=)\s*(?:{_STRING})\s*,?")


class Undefined(Exception):
    """A query uses a variable that the dashboard does not define; the text is its name."""


def builtins(range_s: float, scrape_s: float) -> dict[str, str]:
    """What Grafana fills in for a dashboard of ``range_s`` seconds, scraped every ``scrape_s``."""
    rate, whole = (f"{round(seconds * 1000)}ms" for seconds in (4 * scrape_s, range_s))
    return {
        "__rate_interval": rate, "__interval": rate, "__auto": rate,
        "__interval_ms": f"{round(4000 * scrape_s)}", "__range": whole,
        "__range_s": f"{range_s:g}", "__range_ms": f"{round(range_s * 1000)}", "__from": "0",
        "__to": "0", "__dashboard": "dashboard", "__name": "name", "__org": "1", "__user": "1",
    }  # fmt: skip


def used(text: str) -> list[str]:
    """Names of the variables of a text, in order, each once."""
    names = [match["a"] or match["b"] or match["c"] for match in _VARIABLE.finditer(text)]
    return list(dict.fromkeys(names))


def filled(text: str, values: Mapping[str, Sequence[str]]) -> str:
    """The query with every variable filled in. Raises Undefined.

    Behind ``=~`` a variable stands for all its values, elsewhere for its first; one without
    values is empty, as it is in Grafana.
    """

    def value(name: str, sign: str) -> str:
        if name.startswith("__auto_interval_"):
            name = "__auto"
        if name not in values:
            raise Undefined(name)
        known = values[name]
        known = [known] if isinstance(known, str) else list(known)
        if sign == "!~":
            return ""
        if sign != "=~":
            return known[0] if known else ""
        if any(each == ".*" for each in known):
            return ".*"
        made = "|".join(re.escape(each).replace("\\", "\\\\") for each in known)
        return f"({made})" if len(known) > 1 else made

    def put(part: str, sign: str) -> str:
        return _VARIABLE.sub(lambda m: value(m["a"] or m["b"] or m["c"], sign), part)

    made, end = [], 0
    for match in _MATCHER.finditer(text):
        made.append(put(text[end : match.start()], ""))
        sign = match["sign"] or ""
        made.append(f"{sign}{match['blank']}{put(match['text'], sign)}")
        end = match.end()
    made.append(put(text[end:], ""))
    return "".join(made)


def shortened(expr: str, window_s: float) -> str:
    """The expression with every range ``window_s`` long, so that a short look fills it."""
    window = f"{round(window_s * 1000)}ms"

    def change(match: re.Match[str]) -> str:
        if match["text"]:
            return match["text"]
        return f"[{window}:1s]" if match["colon"] else f"[{window}]"

    return _RANGE.sub(change, expr)


def without_labels(expr: str, labels: Collection[str], keep: Collection[str] = ()) -> str:
    """The expression without matchers of some labels; with ``keep`` without all but those."""

    def change(match: re.Match[str]) -> str:
        if match["text"]:
            return match["text"]
        kept = [each.strip().rstrip(",").strip() for each, label in _matchers(match["inner"])
                if label not in labels and (not keep or label in keep)]  # fmt: skip
        return "{" + ",".join(kept) + "}"

    return _BRACES.sub(change, expr)


def _matchers(inner: str) -> Iterator[tuple[str, str]]:
    for match in _LABEL.finditer(inner):
        yield match[0], match["label"]


#: A quantifier of what has a quantifier: matching may take for ever.
NESTED = re.compile(r"[+*}][^()]*\)[+*{]")
_CALL = re.compile(r"\s*(?P<name>label_values|query_result|label_names|metrics)\s*\((?P<inner>.*)\)\s*",
                   re.DOTALL)  # fmt: skip


def asked(query: str) -> tuple[str, str, str]:
    """What a variable of the kind query asks: (function, selector or expression, label)."""
    match = _CALL.fullmatch(query)
    if match is None:
        return "query_result", query.strip(), ""
    inner = match["inner"].strip()
    if match["name"] != "label_values":
        return match["name"], inner, ""
    selector, comma, label = inner.rpartition(",")
    return "label_values", selector.strip() if comma else "", label.strip()


def chosen(values: Sequence[str], regex: str) -> list[str]:
    """Values that a variable's regex keeps: its group where it has one. A bad regex keeps all."""
    body, flags = regex, 0
    if match := re.fullmatch(r"/(.*)/([a-z]*)", regex, re.DOTALL):
        body, flags = match[1], re.IGNORECASE if "i" in match[2] else 0
    if not body or NESTED.search(body):
        return list(dict.fromkeys(values))
    try:
        pattern = re.compile(re.sub(r"\(\?<([A-Za-z_]\w*)>", r"(?P<\1>", body), flags)
    except re.error:
        return list(dict.fromkeys(values))
    found = []
    for value in values[:1000]:
        if hit := pattern.search(value[:1000]):
            named = hit.groupdict().get("value")
            found.append(named or (hit[1] if pattern.groups and hit[1] else value))
    return list(dict.fromkeys(found))
