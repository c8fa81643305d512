"""Triton's release (24.10) of each server version (2.51), and back."""

from __future__ import annotations

#: Triton's release of each server version that has been out; the version is the identity.
RELEASES = {
    "2.39": "23.10", "2.40": "23.11", "2.41": "23.12", "2.42": "24.01", "2.43": "24.02",
    "2.44": "24.03", "2.45": "24.04", "2.46": "24.05", "2.47": "24.06", "2.48": "24.07",
    "2.49": "24.08", "2.50": "24.09", "2.51": "24.10", "2.52": "24.11", "2.53": "24.12",
    "2.54": "25.01", "2.55": "25.02", "2.56": "25.03", "2.57": "25.04", "2.58": "25.05",
    "2.59": "25.06", "2.59.1": "25.07", "2.60": "25.08", "2.61": "25.09", "2.62": "25.10",
    "2.63": "25.11", "2.64": "25.12", "2.65": "26.01", "2.66": "26.02", "2.67": "26.03", "2.68": "26.04",
    "2.69": "26.05", "2.70": "26.06", "2.71": "26.07", "2.72": "26.08",
}  # fmt: skip


def release_of(version: str) -> str | None:
    """Release of a server version, e.g. "2.51.0" -> "24.10"; None when it is not known."""
    return RELEASES.get(version) or RELEASES.get(".".join(version.split(".")[:2]))
