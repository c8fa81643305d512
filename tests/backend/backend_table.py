"""All rows of the table."""

from __future__ import annotations

from backend_case import Case
from backend_cases_load import LOADING
from backend_cases_more import RAGGED, SEQUENCES, STRINGS
from backend_cases_names import NAMING
from backend_cases_parameters import PARAMETERS
from backend_cases_run import BATCHING, RESULTS, TOGETHER, TYPES

CASES: tuple[Case, ...] = (
    *NAMING,
    *LOADING,
    *PARAMETERS,
    *TYPES,
    *RESULTS,
    *BATCHING,
    *TOGETHER,
    *STRINGS,
    *RAGGED,
    *SEQUENCES,
)
