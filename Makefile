# USS-Ray: `make demo` and `make test` set everything up by themselves, once.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV   := .venv
PIP    := $(VENV)/bin/python -m pip --disable-pip-version-check
# Such as the index of PyTorch's CPU builds: make demo INDEX=https://...
INDEX  ?=
INSTALL := $(PIP) install --quiet --quiet --no-compile --constraint constraints.txt $(addprefix --extra-index-url ,$(INDEX))
DEMO   := out/demo
# Tests that wait for Ray run beside those that compute; those of one Ray stay together, one after another (ADR 49).
# Beyond two, a process does what needs no Ray, with less of the CPUs (ADR 70).
SIDE_BY_SIDE := --dist loadgroup --numprocesses

# A run starts many Python processes; where bytecode may not be kept, each compiles torch and Ray anew.
unexport PYTHONDONTWRITEBYTECODE

# What a change is tried on while it is made: no Ray, no S3 server, no browser, no published package, nothing slow.
FAST := not ray and not s3 and not peer and not browser and not slow and not gpu
# Where none of these are, nothing is read either.
NOT_FAST := $(addprefix --ignore=tests/,browser edge faults gpu parity)

.PHONY: help setup demo check test lint fast format clean
.DEFAULT_GOAL := help

help:            ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

$(VENV)/.created:
	@test -n "$(PYTHON)" || { echo "error: python: expected Python 3.11 or 3.12, found none" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; v = sys.version_info[:2]; sys.exit(None if v in ((3, 11), (3, 12)) else \
	    "error: $(PYTHON): expected Python 3.11 or 3.12, found %d.%d (set PYTHON=...)" % v)'
	@"$(PYTHON)" -m venv $(VENV) || { echo "error: $(PYTHON): expected the venv module, found none \
	    (Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@touch $@

$(VENV)/.run: $(VENV)/.created pyproject.toml constraints.txt
	@echo "Installing USS-Ray and what it runs on into $(VENV) ..."
	@$(INSTALL) --editable '.[ray,s3]'
	@touch $@

$(VENV)/.dev: $(VENV)/.run tests/peers.txt
	@echo "Installing the test and lint tools ..."
	@$(INSTALL) --editable '.[ray,s3,serve,hdf5,media,evaluation,dev,peers]'
	@$(PIP) install --quiet --quiet --no-compile --no-deps --requirement tests/peers.txt
	@touch $@

setup: $(VENV)/.dev  ## the whole environment for developers

demo: $(VENV)/.run   ## separate examples/archive on a local Ray
	@echo "Separating the recordings of examples/archive on a local Ray ..."
	@$(VENV)/bin/uss-ray archive examples/archive $(DEMO) --events --overwrite

check: $(VENV)/.dev  ## style, types, contracts and the fast tests, in a minute and a half
	@$(MAKE) --no-print-directory --jobs 2 lint fast

fast: $(VENV)/.dev
	@OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest $(SIDE_BY_SIDE) 2 --quiet $(NOT_FAST) -m '$(FAST)'

test: $(VENV)/.dev   ## all tests, with a real S3 server and browser where they can be installed
	@export OMP_NUM_THREADS=1; \
	if sh tests/servers/install.sh; then export USS_RAY_REQUIRE_S3=1; fi; \
	if sh tests/edge/install.sh; then export USS_RAY_REQUIRE_EDGE=1; fi; \
	if sh tests/browser/install.sh; then export USS_RAY_REQUIRE_BROWSER=1; fi; $(VENV)/bin/python -m pytest $(SIDE_BY_SIDE) 3

lint: $(VENV)/.dev   ## style, types and import contracts
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

format: $(VENV)/.dev ## put the sources into the house format
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

clean:           ## remove the environment, results and caches
	@rm -rf $(VENV) out .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
