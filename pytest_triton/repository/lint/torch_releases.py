"""Which torch is in NVIDIA's image of which Triton release.

Triton's image of a month is built on the PyTorch container of that month. The versions are out
of that container's release notes ("PyTorch container image version 25.12 is based on
2.10.0a0+b4e4ee81d3", docs.nvidia.com/deeplearning/frameworks/pytorch-release-notes/rel-25-12.html)
and, where these could not be read, out of NVIDIA's table "PyTorch for Jetson Platform:
compatibility with NVIDIA containers" (23.11 to 26.03) and ``torch.__version__`` as people report
it from the containers (2.1.0a0+32f93b1 in 23.10, 2.12.0a0+….nv26.04 to 2.14.0a0+….nv26.08).
There was no PyTorch container 25.07: the image has that of 25.06. NVIDIA builds from a commit
before the release of the same number (2.5.0a0), so that even that may have more.
"""

from __future__ import annotations

import re

#: (first release, torch): up to the next line.
_TORCH = (
    ("23.10", (2, 1)), ("23.11", (2, 2)), ("24.02", (2, 3)), ("24.05", (2, 4)),
    ("24.08", (2, 5)), ("24.11", (2, 6)), ("25.02", (2, 7)), ("25.05", (2, 8)),
    ("25.09", (2, 9)), ("25.11", (2, 10)), ("26.02", (2, 11)), ("26.04", (2, 12)),
    ("26.06", (2, 13)), ("26.08", (2, 14)),
)  # fmt: skip


def torch_of(release: str) -> tuple[int, int] | None:
    """Major and minor version of the torch in a release's image; None before 23.10."""
    found = [version for first, version in _TORCH if first <= release]
    return found[-1] if found else None


def parse_version(text: str) -> tuple[int, int] | None:
    """``2.5.1+cpu`` -> (2, 5)."""
    number = re.match(r"(\d{1,4})\.(\d{1,4})", text)
    return (int(number[1]), int(number[2])) if number else None
