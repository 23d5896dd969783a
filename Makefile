# Everything runs in .venv, which is set up when first needed and again when its requirements change.
PYTHON ?= python3

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# The linear algebra is small: threads would cost more than they save, and change the rounding from run to run.
export OMP_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help study test verify report ledger format clean

help:
	@echo "make study    run studies/depth_limit.py, or that of STUDY=name: table, record and figures go to results/"
	@echo "              (QUICK=1: a smaller one, into a temporary folder; RESULTS=folder: into that folder)"
	@echo "make test     lint, types and the tests: what every change must pass"
	@echo "make verify   every claim: all the studies, into results/ and its ledger claims.csv; then the slow tests"
	@echo "              (QUICK=1: small sizes, into a temporary folder, no slow tests)"
	@echo "make report   results/index.html: the ledger and every study on one page"
	@echo "make ledger   put the ledger into results/README.md, and its summary into README.md"
	@echo "make format   sort the imports and lay out the code"
	@echo "make clean    remove caches and build files; .venv and results/ stay"
	@echo
	@echo "The first run sets up .venv; PYTHON=python3.12 chooses another Python for it (3.11 or newer)."

STUDY ?= depth_limit

# A quick study never writes over the committed results.
IS_QUICK := $(filter-out 0 no false,$(QUICK))
RESULTS ?= $(if $(IS_QUICK),$$(mktemp -d))

study: $(READY)
	$(BIN)/python studies/$(STUDY).py $(if $(IS_QUICK),--quick) $(if $(RESULTS),--results "$(RESULTS)")

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2

verify: $(READY)
	$(BIN)/deeplimit verify $(if $(IS_QUICK),--quick) $(if $(RESULTS),--results "$(RESULTS)")
	$(if $(IS_QUICK),,$(BIN)/python -m pytest -n 2 -m slow)

report: $(READY)
	$(BIN)/deeplimit report

ledger: $(READY)
	$(BIN)/deeplimit ledger --into README.md --summary
	$(BIN)/deeplimit ledger --into results/README.md

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment that still works is kept; a broken one, or one whose Python has gone, is made anew.
$(READY): pyproject.toml constraints.txt
	@$(BIN)/python -c "import sys, pip; sys.exit(sys.version_info < (3, 11))" 2>/dev/null || { \
	  command -v "$(PYTHON)" >/dev/null \
	    || { echo "deeplimit needs Python 3.11 or newer, and there is no $(PYTHON) here." >&2; exit 1; }; \
	  "$(PYTHON)" -c "import sys; sys.exit(sys.version_info < (3, 11))" \
	    || { echo "deeplimit needs Python 3.11 or newer, and $(PYTHON) is older: name a newer one, as in \"make PYTHON=python3.12 study\"." >&2; exit 1; }; \
	  "$(PYTHON)" -c "import ensurepip, venv" 2>/dev/null \
	    || { echo "$(PYTHON) cannot make virtual environments, its venv module is missing: on Debian or Ubuntu, apt install $(notdir $(PYTHON))-venv." >&2; exit 1; }; \
	  echo "Setting up $(VENV): this takes some minutes, once."; \
	  "$(PYTHON)" -m venv --clear $(VENV); }
	$(BIN)/python -m pip install -c constraints.txt -e ".[dev]"
	@touch $@
