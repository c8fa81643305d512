"""Source positions in a TorchScript archive: what torch writes for tracebacks, taken out.

Beside every code file torch stores a ``.debug_pkl`` with the absolute path of each Python
file that the trace went through: the bytes of an export depend on where it was made, and
the paths of the machine are shipped with the model. The server reads the file without them;
a failing operation is then quoted from the serialized code alone.
"""

from __future__ import annotations

from pathlib import Path

#: Written by the writer itself.
_OWN = ("byteorder", ".data/serialization_id")


def strip_sources(path: Path, target: Path) -> None:
    """Write the archive ``path`` to ``target`` (of the same name) without source positions.

    Records keep their alignment, so that weights can still be mapped. ``target`` must not
    be ``path``.
    """
    import torch

    core = torch._C
    reader = core.PyTorchFileReader(str(path))
    writer = core.PyTorchFileWriter(str(target))
    for name in reader.get_all_records():
        if not name.endswith(".debug_pkl") and name not in _OWN:
            data = reader.get_record(name)
            writer.write_record(name, data, len(data))
    writer.write_end_of_file()
