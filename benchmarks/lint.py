"""What lint costs: 500 configurations, and a repository with a model file of 2 GB.

    python benchmarks/lint.py [--rounds 5] [--gigabytes 2]

Every measurement is a process of its own, imports included. The control for the 500 is
protobuf's own parser on the same texts in the same way; the control for the large file is
reading it once. Limits of the project: 2 s; 1 s and 200 MB.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

CONFIGURATIONS = 500
SECONDS = 2.0
LARGE_SECONDS = 1.0
LARGE_MEGABYTES = 200.0

LINT = """
import resource, sys, time
begun = time.perf_counter()
from pytest_triton.repository.lint import lint
found = lint(sys.argv[1])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(time.perf_counter() - begun, peak, len(found.models), len(found.findings))
"""
PARSE = """
import pathlib, resource, sys, time
begun = time.perf_counter()
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2
paths = sorted(pathlib.Path(sys.argv[1]).glob("*/config.pbtxt"))
for path in paths:
    text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(time.perf_counter() - begun, peak, len(paths), 0)
"""
READ = """
import resource, sys, time
begun = time.perf_counter()
with open(sys.argv[1] + "/large/1/model.pt", "rb") as file:
    while file.read(1 << 20):
        pass
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(time.perf_counter() - begun, peak, 1, 0)
"""

TEXT = """\
# {name}: one of many
platform: "{platform}"
max_batch_size: {batch}
input [
  {{ name: "{first}" data_type: TYPE_INT64 dims: [ -1 ] }},
  {{ name: "{second}" data_type: TYPE_INT64 dims: [ -1 ] }},
  {{ name: "image" data_type: TYPE_FP32 dims: [ 3, 224, 224 ] }}
]
output [
  {{ name: "logits" data_type: TYPE_FP32 dims: [ {number} ] }},
  {{ name: "pooled" data_type: TYPE_FP32 dims: [ 768 ] }}
]
instance_group [ {{ kind: KIND_CPU count: {count} }} ]
version_policy {{ latest {{ num_versions: 2 }} }}
dynamic_batching {{
  preferred_batch_size: [ 4, {batch} ]
  max_queue_delay_microseconds: {delay}
  default_queue_policy {{ max_queue_size: {number} timeout_action: REJECT }}
}}
parameters {{ key: "INFERENCE_MODE" value {{ string_value: "true" }} }}
parameters {{ key: "team" value {{ string_value: "{name}" }} }}
model_warmup [ {{
  name: "one"
  batch_size: 1
  inputs {{ key: "image" value {{ data_type: TYPE_FP32 dims: [ 3, 224, 224 ] zero_data: true }} }}
}} ]
"""
PLATFORMS = (
    ("pytorch_libtorch", "model.pt"), ("onnxruntime_onnx", "model.onnx"),
    ("tensorrt_plan", "model.plan"),
)  # fmt: skip


def many(directory: Path) -> None:
    """500 models of thirty lines each, three platforms, with two versions."""
    for number in range(CONFIGURATIONS):
        platform, file = PLATFORMS[number % len(PLATFORMS)]
        name = f"model_{number:03}"
        model = directory / name
        for version in ("1", "2"):
            (model / version).mkdir(parents=True)
            (model / version / file).write_bytes(_small() if file == "model.pt" else b"\x08\x07")
        text = TEXT.format(
            name=name, platform=platform, batch=8 << number % 3, number=100 + number,
            count=1 + number % 4, delay=100 * (number % 7), first=f"input_ids_{number % 5}",
            second="attention_mask",
        )  # fmt: skip
        (model / "config.pbtxt").write_text(text)


def _small() -> bytes:
    """An archive with the records of TorchScript; no torch is needed to write one."""
    return _torchscript(Path(tempfile.gettempdir()) / f"lint-{os.getpid()}.pt", 0, sparse=True)


def _torchscript(path: Path, size: int, *, sparse: bool) -> bytes:
    """A TorchScript file by hand, with one constant of ``size`` bytes; small ones as bytes."""
    code = (
        "class Net(Module):\n  __parameters__ = []\n  __buffers__ = []\n  training : bool\n"
        "  def forward(self: __torch__.Net,\n    input_ids: Tensor,\n"
        "    attention_mask: Tensor,\n    image: Tensor) -> Tuple[Tensor, Tensor]:\n"
        "    return (input_ids, image)\n"
    )
    pickled = b"\x80\x02c__torch__\nNet\nq\x00)\x81}(X\x08\x00\x00\x00trainingq\x01\x89ub."
    with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
        archive.writestr("net/data.pkl", pickled)
        archive.writestr("net/code/__torch__.py", code, zipfile.ZIP_DEFLATED)
        archive.writestr("net/constants.pkl", b"\x80\x02).")
        archive.writestr("net/version", b"3\n")
    if not size:
        data = path.read_bytes()
        path.unlink()
        return data
    with zipfile.ZipFile(path, "a", allowZip64=True) as archive:
        with archive.open("net/data/0", "w", force_zip64=True) as record:
            piece = bytes(1 << 20) if sparse else os.urandom(1 << 20)
            for _ in range(size >> 20):
                record.write(piece)
    if sparse:
        # Zeros take no room: the same bytes, with a hole.
        subprocess.run(["fallocate", "--dig-holes", str(path)], check=False, timeout=600)
    return b""


def large(directory: Path, gigabytes: float, *, sparse: bool) -> Path:
    """A repository with one large model."""
    model = directory / "large"
    (model / "1").mkdir(parents=True)
    _torchscript(model / "1" / "model.pt", int(gigabytes * (1 << 30)), sparse=sparse)
    text = TEXT.format(
        name="large", platform="pytorch_libtorch", batch=8, number=100, count=1, delay=100,
        first="input_ids", second="attention_mask",
    )  # fmt: skip
    (model / "config.pbtxt").write_text(text)
    return directory


def run(code: str, directory: Path) -> tuple[float, float, int, int]:
    """Seconds, peak megabytes, models and findings of a process of its own."""
    made = subprocess.run(
        [sys.executable, "-c", code, str(directory)], check=True, capture_output=True, text=True,
        timeout=600,
    )  # fmt: skip
    seconds, peak, models, findings = made.stdout.split()
    return float(seconds), float(peak), int(models), int(findings)


def compare(directory: Path, control: str, rounds: int) -> tuple[float, float, float, int]:
    """Medians over interleaved rounds: seconds, control's seconds, peak, models."""
    pairs = [(run(LINT, directory), run(control, directory)) for _ in range(rounds + 1)][1:]
    ours, theirs = zip(*pairs, strict=True)
    return (
        statistics.median(one[0] for one in ours),
        statistics.median(one[0] for one in theirs),
        max(one[1] for one in ours),
        ours[0][2],
    )


def main() -> int:
    """Print the medians; 1 when a limit is passed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    options = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as name:
        many(Path(name))
        seconds, control, peak, models = compare(Path(name), PARSE, options.rounds)
    print(
        f"{models} configurations {seconds:.2f} s, {peak:.0f} MB, imports included "
        f"(at most {SECONDS:g} s); protobuf's parser alone {control:.2f} s, "
        f"ratio {seconds / control:.1f}"
    )
    failed |= seconds > SECONDS or models != CONFIGURATIONS
    for sparse in (True, False):
        with tempfile.TemporaryDirectory() as name:
            directory = large(Path(name), options.gigabytes, sparse=sparse)
            seconds, control, peak, _ = compare(directory, READ, options.rounds)
        print(
            f"model.pt of {options.gigabytes:g} GB{', sparse' if sparse else ''} {seconds:.2f} s, "
            f"{peak:.0f} MB (at most {LARGE_SECONDS:g} s, {LARGE_MEGABYTES:g} MB); reading the "
            f"file once {control:.2f} s, ratio {seconds / control:.2f}"
        )
        failed |= seconds > LARGE_SECONDS or peak > LARGE_MEGABYTES
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
