"""Certificates for a test of TLS: a CA of the moment, and what it has signed.

Made here in plain Python (ECDSA on P-256), for neither openssl nor a library for it is there on
every machine. They hold for two days and protect nothing: never use them for anything else.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

#: P-256: the prime, the order of the group, and its generator (FIPS 186-4, D.1.2.3).
_P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
_Point = tuple[int, int] | None

#: Object identifiers, as DER writes them.
_EC_KEY = bytes.fromhex("06072a8648ce3d0201")
_P256 = bytes.fromhex("06082a8648ce3d030107")
_ECDSA_SHA256 = bytes.fromhex("06082a8648ce3d040302")
_COMMON_NAME = bytes.fromhex("0603550403")
_KEY_ID, _KEY_USAGE, _SAN, _BASIC, _AUTHORITY = (
    bytes.fromhex(f"0603551d{number:02x}") for number in (14, 15, 17, 19, 35)
)
_SEQUENCE, _SET, _OCTETS, _BITS = 0x30, 0x31, 0x04, 0x03
_TRUE = b"\x01\x01\xff"


def _add(one: _Point, two: _Point) -> _Point:
    if one is None or two is None:
        return one or two
    (x, y), (u, v) = one, two
    if x == u and (y + v) % _P == 0:
        return None
    rise, run = (3 * x * x - 3, 2 * y) if one == two else (v - y, u - x)
    slope = rise * pow(run, -1, _P)
    w = (slope * slope - x - u) % _P
    return w, (slope * (x - w) - y) % _P


def _times(factor: int) -> tuple[int, int]:
    """The generator so many times."""
    found: _Point = None
    point: _Point = _G
    while factor:
        if factor & 1:
            found = _add(found, point)
        point = _add(point, point)
        factor >>= 1
    assert found is not None
    return found


def _der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _integer(value: int) -> bytes:
    return _der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _pem(label: str, content: bytes) -> str:
    text = base64.encodebytes(content).decode("ascii")
    return f"-----BEGIN {label}-----\n{text}-----END {label}-----\n"


class _Key:
    """A key pair on P-256."""

    def __init__(self) -> None:
        self._secret = secrets.randbelow(_N - 1) + 1
        x, y = _times(self._secret)
        self._point = b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")
        self.id = hashlib.sha1(self._point).digest()

    def public(self) -> bytes:
        """SubjectPublicKeyInfo."""
        kind = _der(_SEQUENCE, _EC_KEY, _P256)
        return _der(_SEQUENCE, kind, _der(_BITS, b"\0", self._point))

    def pem(self) -> str:
        """The private key (SEC 1)."""
        secret = _der(_OCTETS, self._secret.to_bytes(32, "big"))
        point = _der(0xA1, _der(_BITS, b"\0", self._point))
        whole = _der(_SEQUENCE, _integer(1), secret, _der(0xA0, _P256), point)
        return _pem("EC PRIVATE KEY", whole)

    def sign(self, message: bytes) -> bytes:
        """ECDSA with SHA-256, as DER."""
        digest = int.from_bytes(hashlib.sha256(message).digest(), "big")
        while True:
            once = secrets.randbelow(_N - 1) + 1
            r = _times(once)[0] % _N
            s = pow(once, -1, _N) * (digest + r * self._secret) % _N
            if r and s:
                return _der(_SEQUENCE, _integer(r), _integer(s))


def _name(common: str) -> bytes:
    entry = _der(_SEQUENCE, _COMMON_NAME, _der(0x0C, common.encode()))
    return _der(_SEQUENCE, _der(_SET, entry))


def _extension(name: bytes, content: bytes, *, critical: bool = False) -> bytes:
    return _der(_SEQUENCE, name, _TRUE if critical else b"", _der(_OCTETS, content))


def _certificate(subject: str, key: _Key, issuer: str, signer: _Key, *, host: str = "") -> str:
    """A certificate in PEM; that of a CA where ``issuer`` is the subject itself."""
    authority = subject == issuer
    now = datetime.now(timezone.utc)
    validity = [
        _der(0x17, (now + timedelta(days=days)).strftime("%y%m%d%H%M%SZ").encode())
        for days in (-1, 1)
    ]
    # Digital signature, or signing of certificates: one bit of a string of bits.
    usage = _der(_BITS, b"\x02\x04") if authority else _der(_BITS, b"\x07\x80")
    extensions = [
        _extension(_BASIC, _der(_SEQUENCE, _TRUE if authority else b""), critical=True),
        _extension(_KEY_USAGE, usage, critical=True),
        _extension(_KEY_ID, _der(_OCTETS, key.id)),
        _extension(_AUTHORITY, _der(_SEQUENCE, _der(0x80, signer.id))),
    ]
    if host:
        address = ipaddress.ip_address(host).packed
        extensions.append(_extension(_SAN, _der(_SEQUENCE, _der(0x87, address))))
    algorithm = _der(_SEQUENCE, _ECDSA_SHA256)
    told = _der(
        _SEQUENCE,
        _der(0xA0, _integer(2)),
        _integer(secrets.randbits(63) | 1),
        algorithm,
        _name(issuer),
        _der(_SEQUENCE, *validity),
        _name(subject),
        key.public(),
        _der(0xA3, _der(_SEQUENCE, *extensions)),
    )
    whole = _der(_SEQUENCE, told, algorithm, _der(_BITS, b"\0", signer.sign(told)))
    return _pem("CERTIFICATE", whole)


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files in PEM: a CA's certificate, and two pairs that it has signed."""

    ca: Path
    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path


def write_certificates(directory: Path, *, host: str = "127.0.0.1") -> Certificates:
    """A new CA, a server's certificate for an IP address, and a client's."""
    directory.mkdir(parents=True, exist_ok=True)
    authority, common = _Key(), f"pytest-triton {secrets.token_hex(4)}"

    def write(name: str, text: str) -> Path:
        path = directory / name
        path.touch(mode=0o600)
        path.write_text(text, "ascii")
        return path

    written = [write("ca.pem", _certificate(common, authority, common, authority))]
    for subject, address in (("server", host), ("client", "")):
        key = _Key()
        text = _certificate(subject, key, common, authority, host=address)
        written += [write(f"{subject}.pem", text), write(f"{subject}.key", key.pem())]
    return Certificates(*written)
