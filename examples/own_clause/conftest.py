"""The team's own catalogue, and what the report says of the run."""

import os
from pathlib import Path


def pytest_triton_catalogue(catalogue, config):
    catalogue.add_file(Path(__file__).with_name("team.toml"))


def pytest_triton_update_report(report, config):
    report["run"]["commit"] = os.environ.get("CI_COMMIT_SHA")
