# Everything happens in .venv, made by plain `python3 -m venv` and pip. PYTHON= picks the interpreter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CODE := flow flow_core flow_adapters flow_providers flow_cli
SHELL := /bin/sh
# Hundreds of processes load the same modules here: they are compiled once.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

.PHONY: help
help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# ------------------------------------------------------------ set-up
# A stamp is as old as the last install: touching pyproject.toml installs again. The demo needs
# less than a developer does, so it has a stamp of its own, and the larger one covers it.

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Flow needs Python 3.10 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.stamp-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $(VENV)/.stamp-demo $@

$(VENV)/.stamp-demo: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[demo]'
	@touch $@

.PHONY: venv
venv: $(VENV)/.stamp-dev  ## make .venv with everything a developer needs

# Apart from the rest: what it brings would change how quickly Flow itself loads here.
.PHONY: notebook-venv
notebook-venv:  ## JupyterLab and a browser's driver, for the tests that use them
	$(PYTHON) -m venv $(VENV)-notebook
	$(VENV)-notebook/bin/python -m pip install --quiet jupyterlab ipykernel selenium

# ------------------------------------------------------------ what to run

.PHONY: demo
demo: $(VENV)/.stamp-demo  ## train a small model on the mock provider, from nothing
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh docs/examples/demo.sh

.PHONY: check
check: static test-fast  ## before each commit: format, lint, imports, types, fast tests

.PHONY: test
test: static  ## everything: the checks and every test
	$(BIN)/pytest -m 'not slow' -q -n auto -p no:schemathesis -p no:rerunfailures
	$(BIN)/pytest -m slow -q -n auto --dist loadfile --durations=40 --rerun-show-tracebacks

.PHONY: test-fast
test-fast: venv  ## the tests that take no time
	$(BIN)/pytest -m 'not slow' -q -n auto -p no:schemathesis -p no:rerunfailures

.PHONY: static
static: fmt-check lint imports types

.PHONY: fmt
fmt: venv  ## put the code in shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --select I --fix --quiet .

.PHONY: fmt-check
fmt-check: venv
	$(BIN)/ruff format --check --quiet . || { echo "Some files are out of shape: make fmt" >&2; exit 1; }

.PHONY: lint
lint: venv  ## ruff over the code, shellcheck over the scripts
	$(BIN)/ruff check .
	@git ls-files -z '*.sh' .ci/run | xargs -0 -r $(BIN)/shellcheck

.PHONY: imports
imports: venv  ## who may import what
	$(BIN)/lint-imports --no-cache --no-logo

.PHONY: types
types: venv  ## mypy --strict over the packages
	$(BIN)/mypy

.PHONY: bench
bench: venv  ## the numbers, as a table and as bench.json
	$(BIN)/python -m tests.benchmarks

.PHONY: sim
sim: venv  ## serve the pretend cloud over HTTP
	$(BIN)/flow mock serve

.PHONY: live
live: venv  ## check the Mithril adapter against the service; reads only, or SPEND=5 for one bid
	@$(BIN)/python -m flow_providers.mithril.live $(if $(SPEND),--spend $(SPEND))

.PHONY: docs
docs: venv  ## write again what the docs take from the code
	$(BIN)/python -m docs.generate

.PHONY: clean
clean:  ## forget everything that was made here
	rm -rf $(VENV) $(VENV)-notebook build dist site bench.json .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
