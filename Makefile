# Two commands do everything:  make lab  (the main job)  and  make test  (our own tests).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
REPORT ?= triton-report
RELEASE ?= 24.10
PYTEST_ARGS ?=

.PHONY: help lab test check bench faults docs coverage clean

help:
	@echo "make lab     install, export, boot, judge the reference repository; report in $(REPORT)/"
	@echo "make test    install and run the tests of pytest-triton itself"
	@echo "make faults  every clause against its fault"
	@echo "make bench   the numbers, as ratios"
	@echo "make docs    docs/reference again, from the code"
	@echo "make coverage  every release judged again, for docs/reference/coverage.md"
	@echo "make check   ruff and mypy"
	@echo "make clean   remove the environment and the reports"

# The environment is made again when what it is made of changes.
$(VENV)/.installed-%: pyproject.toml constraints.txt scripts/environment.sh
	@PYTHON="$(PYTHON)" sh scripts/environment.sh $(VENV) $*
	@touch $@

lab: $(VENV)/.installed-lab
	@printf '  server        '; $(BIN)/pytest-triton server install $(RELEASE)
	@$(BIN)/python -m pytest --pyargs pytest_triton.suites -q --no-header \
	    --triton-report=$(REPORT) --triton-server-release=$(RELEASE) $(PYTEST_ARGS)

test: $(VENV)/.installed-dev
	@$(BIN)/pytest-triton server install 24.10
	@$(BIN)/pytest-triton server install 24.07
	@$(BIN)/pytest-triton server install 23.10
	@# Each fault is a run of the suites of its own: two at a time, and here every 14th, others
	@# each day, and the healthy subject once ("make faults" runs all). A measured verdict has its
	@# error rate: what fails is run once more and listed as RERUN, a healthy subject that failed never.
	@# With arguments: one run.
	@if [ -n "$(PYTEST_ARGS)" ]; then $(BIN)/python -m pytest $(PYTEST_ARGS); else \
	    $(BIN)/python -m pytest tests/faults -n 2 --faults 14 --healthy-runs 1 --reruns 1 -r fER && \
	    $(BIN)/python -m pytest --ignore=tests/faults --reruns 1 -r fER --durations=15; fi

faults: $(VENV)/.installed-dev
	@$(BIN)/pytest-triton server install $(RELEASE)
	@$(BIN)/python -m pytest tests/faults -n 2 $(PYTEST_ARGS)

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-dev
	@$(BIN)/pytest-triton server install $(RELEASE)
	@$(BIN)/python -m benchmarks

docs: $(VENV)/.installed-dev
	@$(BIN)/python scripts/docs.py

coverage: $(VENV)/.installed-dev
	@$(BIN)/python scripts/judge_releases.py; status=$$?; $(BIN)/python scripts/docs.py; exit $$status

clean:
	rm -rf $(VENV) $(REPORT) build *.egg-info
