"""A recorded call as a line for a shell that repeats it: curl, or grpcurl.

Header values that nobody may read are variables of the shell: ``-H "Authorization:
${AUTHORIZATION:?}"``. What was cut cannot be repeated, and the line says so.
"""

from __future__ import annotations

import base64
import json
import math
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from pytest_triton.probe.transcript import Call, GrpcCall, HttpCall

#: Headers whose values are nobody's business, whoever set them.
SECRET = re.compile(
    r"authori[sz]ation|cookie|token|secret|password|credential|api-?key|x-amz-security|signature",
    re.IGNORECASE,
)
#: A system call takes 128 KiB for one argument; a builtin (printf) takes any.
_ARGUMENT = 100_000
#: What urllib3 leaves as it is in a path, and in a query.
_PATH = "!$&'()*+,;=:@/-._~"
_QUERY = _PATH + "?"


def is_private(name: str, private: Mapping[str, str]) -> bool:
    """Whether a header's value must not be shown: the user gave it, or it is a credential."""
    return name.lower() in {key.lower() for key in private} or bool(SECRET.search(name))


def repeat(call: Call) -> str:
    """The line for a call; empty for none."""
    if isinstance(call, HttpCall):
        return _curl(call)
    return _grpcurl(call) if isinstance(call, GrpcCall) else ""


def plain_url(text: str) -> str:
    """A URL, or a text with one in it, without the name and password of the URL."""
    return re.sub(r"(\b\w+://)[^/?#\s]*@", r"\1***@", text)


def plain_target(url: str) -> str:
    """The address of a gRPC server, which has no scheme, without a name and password."""
    return re.sub(r"^[^/?#\s]*@", "***@", url)


def _wire_url(url: str) -> str:
    """A URL as urllib3 writes it into the request: what may not stand there is quoted."""
    match = re.match(r"(\w+://[^/?#]*)?([^?#]*)(\?[^#]*)?", url)
    assert match is not None
    host, path, query = match[1] or "", match[2], match[3] or ""
    return host + _quoted(path, _PATH) + _quoted(query, _QUERY)


def _quoted(text: str, safe: str) -> str:
    # A percent sign stays only where every one of them begins a quoted byte.
    text, found = re.subn(r"%[0-9a-fA-F]{2}", lambda match: match[0].upper(), text)
    return quote(text, safe=safe + "%" * (found == text.count("%")))


def _curl(call: HttpCall) -> str:
    words = ["curl", "-sS", "-i", "--max-time", f"{max(1, math.ceil(call.timeout))}"]
    url = _wire_url(plain_url(call.url))
    if re.search(r"[][{}]", url):
        words.append("--globoff")
    if "/." in url:
        words.append("--path-as-is")
    words += ["-I"] if call.method == "HEAD" else ["-X", shlex.quote(call.method)]
    words += _headers(call.headers, call.private)
    # curl would call a body a form; without a body, urllib3 says Content-Length: 0 to a POST.
    sends = call.has_body or call.method in ("POST", "PUT", "PATCH")
    if sends and not any(name.lower() == "content-type" for name, _ in call.headers):
        words += ["-H", "'Content-Type:'"]
    before, after = "", ""
    if call.sent.cut:
        words += ["--data-binary", "@BODY"]
        after = f"  # BODY: {call.sent.size} bytes, of which {call.sent.kept} are kept here"
    elif sends:
        text = _inline(call.sent.data)
        if text is not None:
            words += ["--data-raw", text]
        else:
            before = f"printf %s {base64.b64encode(call.sent.data).decode()} | base64 -d | "
            words += ["--data-binary", "@-"]
    return f"{before}{' '.join(words)} {shlex.quote(url)}{after}"


def _inline(body: bytes) -> str | None:
    """A body as one word of a shell; None if it has to travel in another way."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return None
    quoted = shlex.quote(text)
    readable = text.isprintable() and len(quoted.encode()) <= _ARGUMENT
    return quoted if readable else None


def _headers(pairs: Iterable[tuple[str, str]], private: Mapping[str, str]) -> list[str]:
    words = []
    for name, value in pairs:
        if is_private(name, private):
            variable = re.sub(r"[^A-Z0-9_]", "_", name.upper())
            variable = f"H_{variable}" if variable[:1].isdigit() else variable
            words += ["-H", f'"{_plain(name)}: ${{{variable}:?}}"']
        else:
            # "Name;" is curl's way to send a header without a value.
            words += ["-H", shlex.quote(f"{name}: {value}" if value.strip() else f"{name};")]
    return words


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)


def _grpcurl(call: GrpcCall) -> str:
    sent = [as_json(kind, data) for kind, data in call.sent.items]
    words = ["grpcurl"] if call.secure else ["grpcurl", "-plaintext"]
    # Triton has no reflection: grpcurl has to be told what the messages are.
    proto = "grpc_service.proto" if call.rpc.startswith("inference.") else "health.proto"
    words += ["-proto", proto, "-max-time", f"{max(1, math.ceil(call.timeout))}"]
    words += _headers(call.private.items(), call.private)
    after = ""
    if call.sent.cut:
        after = f"  # a message was cut: {call.sent.size} bytes in all"
    data = " ".join(json.dumps(document) for document in sent)
    target = shlex.quote(plain_target(call.url))
    if len(quoted := shlex.quote(data)) <= _ARGUMENT:
        return f"{' '.join(words)} -d {quoted} {target} {shlex.quote(call.rpc)}{after}"
    line = f"{' '.join(words)} -d @ {target} {shlex.quote(call.rpc)}"
    return f"printf %s {quoted} | {line}{after}"


def as_json(kind: Any, data: Any) -> Any:
    """A kept message as protobuf's JSON (bytes are base64), or what is left of it."""
    if isinstance(data, dict):
        return data
    if kind is None:
        return {"base64": base64.b64encode(data).decode()} if data else {}
    from google.protobuf import json_format

    try:
        message = kind.FromString(data)
        return json_format.MessageToDict(message, preserving_proto_field_name=True)
    except Exception as error:  # strings that are no UTF-8, and what else a server may send
        told = base64.b64encode(data).decode()
        return {"base64": told, "unreadable": f"{type(error).__name__}: {error}"[:200]}
