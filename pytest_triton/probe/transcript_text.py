"""A transcript for a program and for a person, without the values that are nobody's business."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pytest_triton.probe.bounded import Body, Messages
from pytest_triton.probe.hiding import HIDDEN, Hiding
from pytest_triton.probe.message import LENGTH_HEADER
from pytest_triton.probe.repeating import as_json, is_private, plain_target, plain_url, repeat
from pytest_triton.probe.transcript import Call, GrpcCall, HttpCall, Transcript

#: Hides nothing: of what we sent, the user's headers are private and the rest is ours.
_OPENLY = Hiding({})
_SHOWN = 4000
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def to_json(transcript: Transcript) -> list[dict[str, Any]]:
    """Every call as plain data, in the order in which they began."""
    return [
        {
            **_entry(call),
            "seconds": None if call.seconds is None else round(call.seconds, 6),
            "earlier": call.started < transcript.started,
            "marked": case is not None,
            "case": case,
        }
        for call, case in transcript.calls()
    ]


def _entry(call: Call) -> dict[str, Any]:
    if isinstance(call, HttpCall):
        return _http(call)
    return _grpc(call) if isinstance(call, GrpcCall) else {"protocol": call.protocol}


def _http(call: HttpCall) -> dict[str, Any]:
    hiding = Hiding(call.private, call.url.encode("utf-8", "replace"), call.sent.data)
    told: dict[str, Any] = {
        "protocol": "http",
        "method": call.method,
        "url": plain_url(call.url),
        "request": {
            "headers": _headers(call.headers, call.private, _OPENLY),
            "body": _body(call.sent, _length(call.headers), _OPENLY) if call.has_body else None,
        },
        "response": None,
        "error": hiding.text(plain_url(call.error)) or None,
        "curl": repeat(call),
    }
    if call.status is not None:
        told["response"] = {
            "status": call.status,
            "headers": _headers(call.answer_headers, call.private, hiding),
            "body": _body(call.received, _length(call.answer_headers), hiding),
        }
    return told


def _grpc(call: GrpcCall) -> dict[str, Any]:
    sent = [data for _, data in call.sent.items if isinstance(data, bytes)]
    hiding, target = Hiding(call.private, *sent), plain_target(call.url)
    answered = call.status or call.received.count or (call.seconds is not None and not call.error)
    return {
        "protocol": "grpc",
        "method": call.rpc.rpartition("/")[2],
        "rpc": call.rpc,
        "url": target,
        "request": {
            "headers": _headers(call.private.items(), call.private, _OPENLY),
            **_messages(call.sent, _OPENLY),
        },
        "response": {
            "status": call.status or "OK",
            "details": hiding.text(call.details.replace(call.url, target)),
            **_messages(call.received, hiding),
        }
        if answered
        else None,
        "error": hiding.text(call.error.replace(call.url, target)) or None,
        "curl": repeat(call),
    }


def _headers(
    pairs: Iterable[tuple[str, str]], private: Mapping[str, str], hiding: Hiding
) -> list[list[str]]:
    return [
        [name, HIDDEN if is_private(name, private) else hiding.header(name, value)]
        for name, value in pairs
    ]


def _length(pairs: Iterable[tuple[str, str]]) -> int | None:
    """Bytes of the JSON in front of binary tensors, where a header says it."""
    said = next((value for name, value in pairs if name.lower() == LENGTH_HEADER.lower()), "")
    return int(said) if said.isascii() and said.isdigit() and len(said) <= 18 else None


def _body(body: Body, length: int | None, hiding: Hiding) -> dict[str, Any]:
    """Its bytes as text where that gives them back exactly, else as base64."""
    data = body.data
    told: dict[str, Any] = {"size": body.size, "kept": body.kept}
    if (shown := hiding.data(data)) != data:
        data, told["redacted"] = shown, True
    try:
        return told | {"text": data.decode("utf-8")}
    except UnicodeDecodeError as error:
        if body.cut and error.start >= len(data) - 3:
            return told | {"text": data[: error.start].decode("utf-8"), "kept": error.start}
    told |= {"base64": base64.b64encode(data).decode("ascii")}
    if length is not None and length <= len(data):
        told["json"] = data[:length].decode("utf-8", "replace")
    return told


def _messages(messages: Messages, hiding: Hiding) -> dict[str, Any]:
    plain = [hiding.walked(as_json(kind, data)) for kind, data in messages.items]
    return {"messages": plain, "count": messages.count, "size": messages.size}


def to_text(entries: list[dict[str, Any]], *, title: str, dropped: int = 0) -> str:
    """The same for a person: every call, what it got, and the line that repeats it."""
    lines = [f"{title}: {len(entries)} calls" + (f", {dropped} older ones dropped" * bool(dropped))]
    if any(entry["marked"] for entry in entries):
        lines.append("'>' marks the last call before a finding")
    for number, entry in enumerate(entries, 1):
        lines += ["", *_told(number, entry)]
    return "\n".join(_safe(line) for line in lines) + "\n"


def _told(number: int, entry: Mapping[str, Any]) -> Iterable[str]:
    mark = f"> {number} ({entry['case']})" if entry["marked"] else f"  {number}"
    took = "unfinished" if entry["seconds"] is None else f"{entry['seconds']:.6f} s"
    when = ", asked before this test" if entry["earlier"] else ""
    what = entry["url"] if entry["protocol"] == "http" else f"{entry['url']} {entry['rpc']}"
    yield f"{mark}  {entry['method']} {what}  [{took}{when}]"
    yield from _part("   >>", entry["request"])
    if entry["response"] is not None:
        yield f"   << {entry['response']['status']} {entry['response'].get('details', '')}".rstrip()
        yield from _part("   <<", entry["response"])
    if entry["error"]:
        yield f"   !! {entry['error']}"
    yield f"   $ {entry['curl']}"


def _part(arrow: str, part: Mapping[str, Any]) -> Iterable[str]:
    for name, value in part.get("headers", ()):
        yield f"{arrow} {name}: {value}"
    for message in part.get("messages", ()):
        yield f"{arrow} {_short(json.dumps(message, ensure_ascii=False))}"
    if (body := part.get("body")) is not None and body["size"]:
        cut = f", of which {body['kept']} are kept" if body["kept"] < body["size"] else ""
        yield f"{arrow} ({body['size']} bytes{cut})"
        if "text" in body:
            yield f"{arrow} {_short(body['text'])}"
        else:
            if "json" in body:
                yield f"{arrow} {_short(body['json'])}"
            yield f"{arrow} {_short(body['base64'])} (base64)"


def _short(text: str) -> str:
    whole = len(text)
    return text if whole <= _SHOWN else f"{text[:_SHOWN]}… ({whole} characters, see the JSON)"


def _safe(line: str) -> str:
    """Nothing that a terminal obeys."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", line)
