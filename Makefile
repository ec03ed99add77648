# Everything here works in a fresh clone, on a machine with python3, python3-venv, make and git.

CACHE := $(or $(SEPTUM_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/septum)
# The tests and the facility put their downloads into the same folder.
export SEPTUM_CACHE := $(CACHE)
export PIP_CACHE_DIR := $(CACHE)/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1

PYTHON ?= python3
BIN := .venv/bin
# For what is found on PATH: hadd, and python3 with the libraries of the examples.
WITH_PATH := PATH="$(CURDIR)/$(BIN):$$PATH"
DEMO := examples/dimuon

.PHONY: help
help: ## Show this list.
	@sed -n 's/^\([a-z]*\):[^#]*## /\1\t/p' Makefile | expand -t 10

.PHONY: env
env: .venv/.complete ## Build .venv, once: everything that the other targets need.

# The stamp comes last, so that an interrupted installation is done again.
.venv/.complete: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

.PHONY: demo
demo: env ## Run a small analysis on this machine: from septum.yaml to a merged ROOT file and a report.
	cd $(DEMO) && $(WITH_PATH) septum run

.PHONY: check
check: env ## Judge the code without running it: lint, format, types, generated files.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/septum component render --check
	$(BIN)/septum reference --check

.PHONY: test
test: check ## Run every test. What this machine cannot run is listed at the end, with the reason.
	$(WITH_PATH) $(BIN)/python -m pytest -p tests.skips

.PHONY: generate
generate: env ## Write all generated files: templates/, docs/reference/, the tables of the READMEs.
	$(BIN)/septum component render
	$(BIN)/septum reference

.PHONY: wheel
wheel: env ## Build the wheel and the source distribution into dist/.
	rm -rf dist
	$(BIN)/python -m pip install --quiet build==1.3.0
	$(BIN)/python -m build --outdir dist

.PHONY: clean
clean: ## Remove what the other targets made here. The cache folder stays.
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache
