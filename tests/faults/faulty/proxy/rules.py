"""Rules: which answers are changed, and how. Read from data, checked when read."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

from . import paths, tensors

#: Seconds that an answer waits for another one to be swapped with.
TRADE_S = 3.0


@dataclass(frozen=True)
class Rule:
    """One change. Everything that is said has to match; what is not said matches."""

    #: http, grpc or metrics: the port; otlp: between a server and its collector of spans.
    on: str
    #: HTTP verb.
    method: str = ""
    #: Pattern found in the path with its query (HTTP), or in the method's name (gRPC).
    path: str = ""
    #: Pattern found in the request's body (gRPC: as JSON).
    request: str = ""
    #: Pattern found in the answer's body (gRPC: as JSON, or the error's text).
    answer: str = ""
    #: The status that the server gave: 200, or "NOT_FOUND" (gRPC; "OK" for none).
    given: int | str = ""
    #: Holds only once a request on the path ``[0]`` had a body with the pattern ``[1]`` in it.
    armed_by: tuple[str, str] | None = None
    #: Leave the first matches alone, then take every n-th, and no more than so many.
    skip: int = 0
    every: int = 1
    times: int = 0

    #: Pattern and replacement for the path that is asked for instead (HTTP).
    route: tuple[str, str] | None = None
    #: Patterns and replacements in the request's body (HTTP).
    forward: tuple[tuple[str, str], ...] = ()
    #: Headers of the request, in lower case, that the server does not get.
    without: tuple[str, ...] = ()
    #: Places of the request's JSON or message, and their values.
    ask: dict[str, Any] = field(default_factory=dict)
    #: Ask the server so many times more, and throw those answers away.
    repeat: int = 0
    #: One request at a time (HTTP).
    serial: bool = False
    #: Nothing goes through for ``[0]`` seconds out of every ``[1]`` (HTTP).
    pause: tuple[float, float] = ()  # type: ignore[assignment]
    #: Requests a second that go through, one after the other; the others wait (HTTP).
    pace: float = 0.0
    #: Holds only while more requests than this are under way (HTTP).
    crowd: int = 0
    #: Do not ask the server at all.
    respond: bool = False

    #: MiB that the proxy, a process of the server, keeps for each answer.
    leak: int = 0
    #: Seconds before the answer is given.
    delay: float = 0.0
    #: Close the connection instead of answering (gRPC: UNAVAILABLE).
    close: bool = False
    #: Bytes at the end of the body that are announced and not sent; then close (HTTP).
    cut: int = 0
    #: Give the first answer to every later request of the same path again.
    stale: bool = False
    #: As stale, but its id is that of the request.
    cached: bool = False
    #: Do not ask the server what it was asked before: the same path and body (HTTP).
    caches: bool = False
    #: Give the answer of the request before, of the same path (HTTP).
    previous: bool = False
    #: Trade with another request that is here now: the whole ``answer``, its ``id`` alone, or
    #: the ``values`` under one's own id (HTTP). One trade is two matches.
    swap: str = ""
    status: int | str = ""
    header: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    #: The whole body, in hexadecimal digits.
    raw: str | None = None
    #: Patterns and replacements in the body's text (gRPC: in the error's text).
    replace: tuple[tuple[str, str], ...] = ()
    set: dict[str, Any] = field(default_factory=dict)
    delete: tuple[str, ...] = ()
    add: dict[str, float] = field(default_factory=dict)
    multiply: dict[str, float] = field(default_factory=dict)
    #: Places that keep the value that they first had.
    freeze: tuple[str, ...] = ()
    #: Lists that are turned round.
    turn: tuple[str, ...] = ()
    #: Operation on output tensors (see tensors.py).
    tensors: dict[str, Any] = field(default_factory=dict)
    #: Operations on lines of text: {match, do = drop | double | freeze | since |
    #: scrapes | add | multiply | put, by}.
    lines: tuple[dict[str, Any], ...] = ()

    def __post_init__(self) -> None:
        if self.on not in ("http", "grpc", "metrics", "otlp"):
            raise ValueError(f"a rule is on http, grpc, metrics or otlp, not {self.on!r}")
        patterns = [self.path, self.request, self.answer]
        patterns += [pattern for pattern, _ in (*self.forward, *self.replace)]
        patterns += [line["match"] for line in self.lines]
        for pattern in patterns:
            re.compile(pattern)
        if self.swap not in ("", "answer", "id", "values"):
            raise ValueError(f"swap is answer, id or values, not {self.swap!r}")
        for name in (*self.ask, *self.set, *self.delete, *self.add, *self.multiply, *self.freeze):
            paths.parse(name)

    @property
    def edits(self) -> bool:
        """Whether JSON places are changed."""
        return bool(
            self.set or self.delete or self.add or self.multiply or self.freeze or self.turn
        )


def rule(data: dict[str, Any]) -> Rule:
    """A rule out of TOML or JSON; ValueError says what is wrong with it."""
    unknown = data.keys() - {item.name for item in fields(Rule)}
    if unknown:
        raise ValueError(f"a rule has no {', '.join(sorted(unknown))}")
    try:
        return Rule(**{key: _tuples(value) for key, value in data.items()})
    except (TypeError, re.error) as error:
        raise ValueError(f"{data}: {error}") from None


def _tuples(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(tuple(item) if isinstance(item, list) else item for item in value)
    return value


class Active:
    """A rule at work: how often it matched, what it remembers. Thread-safe."""

    def __init__(self, rule: Rule, news: Callable[[], None] | None = None) -> None:
        self.rule = rule
        self._news = news
        self.matched = 0
        self.hits = 0
        self.errors: list[str] = []
        #: Answers that found nobody to be swapped with and stayed as they were: the last of a load.
        self.alone = 0
        self._taken = 0
        self._lock = threading.Lock()
        self._memory: dict[str, Any] = {}
        self.armed = rule.armed_by is None
        self.turn = threading.Lock()
        self._here = 0
        self._next = 0.0
        self.kept: list[bytes] = []
        self._market = threading.Condition()
        self._offer: list[Any] | None = None

    def arm(self, path: str, body: bytes) -> None:
        """Look whether a request is the one that the rule waits for."""
        if not self.armed and self.rule.armed_by:
            where, what = self.rule.armed_by
            if re.search(where, path) and re.search(what.encode(), body):
                self.armed = True

    def wants(self, on: str, method: str, path: str, request: str) -> bool:
        """Whether the request is one that the rule is about."""
        rule = self.rule
        return (
            rule.on == on
            and self.armed
            and (not rule.method or rule.method == method)
            and re.search(rule.path, path) is not None
            and (not rule.request or re.search(rule.request, request, re.DOTALL) is not None)
        )

    @contextmanager
    def present(self) -> Iterator[bool]:
        """One request is under way; whether there is a crowd."""
        with self._lock:
            self._here += 1
            crowded = self._here > self.rule.crowd
        try:
            yield crowded
        finally:
            with self._lock:
                self._here -= 1

    def hold(self) -> None:
        """Wait as ``pause`` and ``pace`` say."""
        if self.rule.pause:
            length, every = self.rule.pause
            phase = time.monotonic() % every
            if phase < length:
                time.sleep(length - phase)
                self.did(True)
        if self.rule.pace:
            with self._lock:
                now = time.monotonic()
                self._next = max(self._next + 1 / self.rule.pace, now)
                wait = self._next - now
            time.sleep(wait)
            self.did(wait > 0)

    def takes(self, given: int | str, answer: str) -> bool:
        """Whether this answer is changed; counts."""
        rule = self.rule
        if rule.given != "" and rule.given != given:
            return False
        if rule.answer and re.search(rule.answer, answer, re.DOTALL) is None:
            return False
        with self._lock:
            self.matched += 1
            if self.matched <= rule.skip or (self.matched - rule.skip) % rule.every:
                return False
            if rule.times and self._taken >= rule.times:
                return False
            self._taken += 1
            return True

    def remember(self, key: Any, value: Any) -> Any:
        """The value that was first seen under a key."""
        with self._lock:
            return self._memory.setdefault(key, value)

    def kept_for(self, key: Any) -> Any:
        """What :meth:`remember` has under a key, or None."""
        with self._lock:
            return self._memory.get(key)

    def exchange(self, key: str, value: Any) -> Any:
        """Keep a value; the one that was kept before, or the same for the first."""
        with self._lock:
            before = self._memory.get(key, value)
            self._memory[key] = value
            return before

    def trade(self, mine: Any) -> Any:
        """Give a value for that of whoever comes next, or is waiting; None if nobody does."""
        with self._market:
            if self._offer is not None:
                offer, self._offer = self._offer, None
                offer.append(mine)
                self._market.notify_all()
                return offer[0]
            offer = self._offer = [mine]
            if self._market.wait_for(lambda: len(offer) > 1, TRADE_S):
                return offer[1]
            self._offer = None
            self.alone += 1
        return None

    def did(self, changed: bool, trouble: str = "") -> None:
        """Note what came of it."""
        with self._lock:
            first = changed and not self.hits
            self.hits += changed
            if trouble and len(self.errors) < 5:
                self.errors.append(trouble)
                first = True
        if first and self._news:
            self._news()

    def edit(self, document: Any, scope: str) -> bool:
        """Change the places of a JSON document; whether there were any."""
        rule, count = self.rule, 0
        for path, value in rule.set.items():
            count += paths.put(document, path, value)
        for path in rule.delete:
            count += paths.delete(document, path)
        for path, by in rule.add.items():
            count += paths.change(
                document, path, lambda old, _, by=by: _number(old, lambda x: x + by)
            )
        for path, by in rule.multiply.items():
            count += paths.change(
                document, path, lambda old, _, by=by: _number(old, lambda x: x * by)
            )
        for path in rule.freeze:
            count += paths.change(
                document, path, lambda old, place: self.remember(f"{scope}{place}", old)
            )
        for path in rule.turn:
            count += paths.change(document, path, lambda old, _: old[::-1])
        return count > 0

    def edit_lines(self, text: str) -> tuple[str, bool]:
        """Change the lines of a metrics page."""
        lines = text.splitlines()
        changed = False
        for operation in self.rule.lines:
            pattern, kept = re.compile(operation["match"]), []
            for line in lines:
                if not pattern.search(line):
                    kept.append(line)
                    continue
                made = self._line(line, operation)
                changed |= made != [line]
                kept += made
            lines = kept
        return "\n".join(lines) + "\n", changed

    def _line(self, line: str, operation: dict[str, Any]) -> list[str]:
        do = operation["do"]
        if do == "drop":
            return []
        if do == "double":
            return [line, line]
        series, _, number = line.rpartition(" ")
        if do == "freeze":
            return [f"{series} {self.remember(series, number)}"]
        if do == "since":  # what was added since the first look, times a factor
            first = float(self.remember(series, number))
            return [f"{series} {first + round((float(number) - first) * operation['by'])}"]
        if do == "scrapes":  # one more at every look
            counted = self.remember(f"looks at {series}", [0])
            counted[0] += 1
            return [f"{series} {float(number) + counted[0]:g}"]
        value = float(number)
        by = operation["by"]
        value = {"add": value + by, "multiply": value * by, "put": by}[do]
        return [f"{series} {value:.17g}"]


def _number(old: Any, change: Any) -> Any:
    """Change a number; 64-bit integers of protobuf's JSON are strings, and stay that."""
    if isinstance(old, str):
        return str(int(change(int(old))))
    made = change(old)
    return int(made) if isinstance(old, int) and not isinstance(old, bool) else made


def change_body(
    active: Active, body: bytes, headers: dict[str, str], path: str
) -> tuple[bytes, bool]:
    """The edits of one rule on an HTTP body; ``headers`` have lower-case names."""
    rule, changed = active.rule, False
    if rule.tensors:
        body, changed = tensors.change_http(body, headers, rule.tensors)
    if rule.edits:
        length = headers.get(tensors.HEADER)
        cut = int(length) if length else len(body)
        document = json.loads(body[:cut])
        holder = {"": document}
        if active.edit(document, path):
            text = json.dumps(holder[""], separators=(",", ":")).encode()
            body, changed = text + body[cut:], True
            if length:
                headers[tensors.HEADER] = str(len(text))
    if rule.lines:
        text, did = active.edit_lines(body.decode("utf-8", "replace"))
        if did:
            body, changed = text.encode(), True
    for pattern, replacement in rule.replace:
        length = headers.get(tensors.HEADER)
        cut = int(length) if length else len(body)
        head = re.sub(pattern.encode(), replacement.encode(), body[:cut], flags=re.MULTILINE)
        if head == body[:cut]:  # a compressed body is shorter than its header's length says
            continue
        changed, body = True, head + body[cut:]
        if length:
            headers[tensors.HEADER] = str(len(head))
    return body, changed
