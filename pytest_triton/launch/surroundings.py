"""What the lab asks of a machine (LAB.md), and tools that only some jobs need."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from pytest_triton.launch.checks import Check, ask, gigabytes, numbers
from pytest_triton.launch.machine import gpu_count

LAB, TOOLS = "the lab's requirements", "tools"


def lab_requirements() -> Iterator[Check]:
    """The lab's own list, beside what the machine has. None of it is needed on a CPU."""
    import psutil

    yield _gpu()
    memory = psutil.virtual_memory().total
    yield _lab("RAM", memory >= 31 * 2**30, "32 GB", gigabytes(memory), "Llama-2-7B")
    disk = shutil.disk_usage(Path.home()).free
    yield _lab("disk", disk >= 50 * 2**30, "50 GB", f"{gigabytes(disk)} free", "image and models")
    yield from _docker()
    status, said = ask("nvidia-ctk", "--version")
    if status:
        status, said = ask("nvidia-container-cli", "--version")
    found = "none" if status else ".".join(map(str, numbers(said)))
    yield _lab("nvidia-container-toolkit", not status, "any", found, "GPUs in Docker")
    version = ".".join(map(str, sys.version_info[:3]))
    yield _lab("Python", sys.version_info >= (3, 8), "3.8", version, "")
    client = _version("tritonclient")
    good = numbers(client) >= (2, 40)
    yield _lab("tritonclient", good, "2.40", client or "none", "clients")


def tools() -> Iterator[Check]:
    """Programs that single jobs use."""
    yield _bwrap()
    for name, programs, what, remedy in (
        ("Prometheus", ("prometheus",), "what is handed in for Prometheus, at work",
         "apt-get install prometheus"),
        ("promtool", ("promtool",), "alert rules and their faults", "apt-get install prometheus"),
        ("Alertmanager", ("prometheus-alertmanager", "alertmanager"), "an alert's way to its receiver",
         "apt-get install prometheus-alertmanager"),
        ("Chromium", ("chromium", "chromium-browser", "google-chrome"), "pictures of dashboards",
         "install chromium"),
    ):  # fmt: skip
        found = next((path for item in programs if (path := shutil.which(item))), None)
        yield Check(TOOLS, name, "ok" if found else "absent", "on PATH", found or "none",
                    "" if found else remedy, what)  # fmt: skip
    for package, what in (("transformers", "HuggingFace models"), ("pytest_html", "report.html"),
                          ("pytest_docker", "--triton-launcher docker")):  # fmt: skip
        version = _version(package.replace("_", "-"))
        yield Check(TOOLS, package, "ok" if version else "absent", "installed", version or "none",
                    "" if version else f"pip install {package.replace('_', '-')}", what)  # fmt: skip


def _lab(name: str, good: bool, needed: str, found: str, what: str, remedy: str = "") -> Check:
    return Check(LAB, name, "ok" if good else "absent", needed, found, remedy, what)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _gpu() -> Check:
    count = gpu_count()
    if not count:
        return _lab("GPU", False, "16 GB", "none", "--triton-device gpu")
    query = "--query-gpu=name,memory.total,driver_version"
    status, said = ask("nvidia-smi", query, "--format=csv,noheader,nounits")
    if status or not said:
        text = said.splitlines()[0] if said else "nvidia-smi says nothing"
        return _lab("GPU", False, "16 GB", text, "--triton-device gpu", "repair the driver")
    name, memory, driver = (part.strip() for part in said.splitlines()[0].rsplit(",", 2))
    size = int(memory) * 2**20 if memory.isdigit() else 0
    found = f"{count} × {name}, {gigabytes(size)}, driver {driver}"
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if hidden:
        found += ", hidden by CUDA_VISIBLE_DEVICES"
    return _lab("GPU", size >= 15 * 2**30 and not hidden, "16 GB", found, "--triton-device gpu")


def _docker() -> Iterator[Check]:
    status, said = ask("docker", "version", "--format", "{{.Server.Version}}")
    what = "--triton-launcher docker"
    if status:
        found = "none" if status == 127 else (said.splitlines() or ["no answer"])[-1]
        remedy = "install Docker 20.10 or later" if status == 127 else "start the Docker daemon"
        yield _lab("Docker", False, "20.10", found, what, remedy)
    else:
        yield _lab("Docker", numbers(said) >= (20, 10), "20.10", said, what)
    for command in (("docker", "compose", "version"), ("docker-compose", "version")):
        status, said = ask(*command)
        if not status:
            yield _lab("Compose", True, "1.29", said.splitlines()[0], what)
            return
    yield _lab("Compose", False, "1.29", "none", what, "install the compose plugin")


def _bwrap() -> Check:
    what = "grading of submissions; references out of served files (ACC-01), better kept apart"
    if not shutil.which("bwrap"):
        return Check(TOOLS, "bubblewrap", "absent", "works", "none", "install bubblewrap", what)
    status, said = ask("bwrap", "--unshare-all", "--ro-bind", "/", "/", "true")
    version = ask("bwrap", "--version")[1]
    if status:
        found = f"{version}: {(said.splitlines() or ['fails'])[0]}"
        remedy = "allow unprivileged user namespaces (kernel.apparmor_restrict_unprivileged_userns)"
        return Check(TOOLS, "bubblewrap", "absent", "works", found, remedy, what)
    return Check(TOOLS, "bubblewrap", "ok", "works", version, "", what)
