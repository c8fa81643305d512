"""The texts of config_texts.py on real servers: they take and refuse the same ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from config_texts import REFUSED, TAKEN

from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.launch.store import install
from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe.types import RequestFailed


@pytest.mark.parametrize("release", ["24.10", "23.10"])
def test_servers_agree(release: str, tmp_path: Path) -> None:
    install(release)
    texts = {**TAKEN, **REFUSED}
    for name, text in texts.items():
        directory = tmp_path / "models" / name
        (directory / "1").mkdir(parents=True)
        data = text if isinstance(text, bytes) else text.encode("utf-8")
        (directory / "config.pbtxt").write_bytes(data)
    log = tmp_path / "server.log"
    spec = ServerSpec(tmp_path / "models", (), release=release, device="cpu", log_path=log)
    taken = []
    with embedded(spec) as deployment, HttpProbe(deployment.http_url, timeout=60) as probe:
        for name in texts:
            begin = log.stat().st_size
            with pytest.raises(RequestFailed):  # there is no such backend
                probe.load(name, timeout=60)
            with log.open("rb") as file:
                file.seek(begin)
                if b"failed to read text proto" not in file.read():
                    taken.append(name)
    assert taken == list(TAKEN)
