"""What is judged, as data: criteria, clauses, statuses, and how they fold into a verdict."""

from __future__ import annotations

from pytest_triton.criteria.catalogue import Catalogue, CatalogueError, Clause, Criterion, load
from pytest_triton.criteria.status import (
    Inconclusive,
    Manual,
    Missing,
    NotAssessed,
    Reason,
    Status,
    worst,
)

__all__ = [
    "Catalogue",
    "CatalogueError",
    "Clause",
    "Criterion",
    "Inconclusive",
    "Manual",
    "Missing",
    "NotAssessed",
    "Reason",
    "Status",
    "load",
    "worst",
]
