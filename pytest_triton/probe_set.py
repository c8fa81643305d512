"""The probe models: small models of ours that show what the protocol's clauses ask for.

They are data (``probe_models/``). A server of ours gets them on a second server beside the
subject's; an endpoint that serves them itself is judged with them too.
"""

from __future__ import annotations

import shutil
from pathlib import Path

DATA = Path(__file__).parent / "probe_models"
#: What the name of every probe model begins with: the clauses about any model leave them out.
PREFIX = "pytest_triton_probe_"

ADDSUB = f"{PREFIX}addsub"
BROKEN_CHAIN = f"{PREFIX}broken_chain"
CACHED = f"{PREFIX}cached"
CHAIN = f"{PREFIX}chain"
CLASSES = f"{PREFIX}classes"
ECHO = f"{PREFIX}echo"
FAILING = f"{PREFIX}failing"
OPTIONAL = f"{PREFIX}optional"
QUEUE = f"{PREFIX}queue"
RAGGED = f"{PREFIX}ragged"
RESHAPE = f"{PREFIX}reshape"
SEQUENCE = f"{PREFIX}sequence"
SLOW = f"{PREFIX}slow"
STREAM = f"{PREFIX}stream"
TYPES = f"{PREFIX}types"
WARM = f"{PREFIX}warm"

PROBE_MODELS = (
    ADDSUB, BROKEN_CHAIN, CACHED, CHAIN, CLASSES, ECHO, FAILING, OPTIONAL,
    QUEUE, RAGGED, RESHAPE, SEQUENCE, SLOW, STREAM, TYPES, WARM,
)  # fmt: skip
#: The only version of each.
VERSION = "1"
#: The probe server's response cache; CACHED needs one.
SERVER_FLAGS = ("--cache-config=local,size=1048576",)


def is_probe(model: str) -> bool:
    """Whether a model is one of ours, by its name."""
    return model.startswith(PREFIX)


def write_probes(repository: Path) -> Path:
    """Write the probe models into a repository; what is there under their names is replaced."""
    repository.mkdir(parents=True, exist_ok=True)
    for name in PROBE_MODELS:
        target = repository / name
        if target.exists():
            shutil.rmtree(target)
        shutil.copytree(DATA / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        (target / "1").mkdir(exist_ok=True)  # an ensemble has no file in it
    return repository
