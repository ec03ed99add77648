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
# The date on the site is that of the commit; and a word of the theme's authors about their other tools is left out.
SITE := SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct 2>/dev/null || echo 0) NO_MKDOCS_2_WARNING=1

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
check: env ## Judge the code without running it: lint, format, types, generated files, contract, schemas, links.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/septum component render --check
	$(BIN)/septum reference --check
	$(BIN)/septum component contract --check
	$(BIN)/python -m pytest -q -o addopts= -k "gate_docs or header or is_a_schema" tests/unit/test_gate_docs.py tests/unit/test_gate_schema.py

# Two processes share the tests without a pool; LANES=0 runs all of them in one, for those who look for a fault.
LANES ?= 2

.PHONY: test
test: check ## Run every test. What this machine cannot run is listed at the end, with the reason.
	$(WITH_PATH) $(BIN)/python -m pytest -p tests.skips -p tests.lanes -n $(LANES)

.PHONY: generate
generate: env ## Write all generated files: templates/, the contract, docs/reference/, tables, golden previews.
	$(BIN)/septum component render
	$(BIN)/septum component contract
	$(BIN)/septum reference
	$(BIN)/python tests/golden/write.py

.PHONY: docs
docs: env ## Build the site of the documentation into public/, and follow its links.
	$(SITE) $(BIN)/python -m mkdocs build --strict
	$(BIN)/python -m tools.docs.links public

.PHONY: wheel
wheel: env ## Build the wheel of the last commit into dist/, the same bytes as the release.
	rm -rf dist
	$(WITH_PATH) tools/wheel dist

.PHONY: lock
lock: env ## Write the locks that septum is installed from. With UPGRADE=1, the newest versions of everything.
	$(BIN)/python -m tools.lock $(if $(UPGRADE),--upgrade)

.PHONY: sbom
sbom: wheel ## List what a release consists of, as CycloneDX: dist/septum.cdx.json.
	$(BIN)/python -m tools.sbom dist/*.whl dist/septum.cdx.json

.PHONY: open
open: env ## Begin a version: make open VERSION=X.Y.Z.
	$(BIN)/python -m tools.release open '$(VERSION)'

.PHONY: pin
pin: env ## Put what a pipeline built into the components: make pin FILE=release.json.
	$(BIN)/python -m tools.release pin '$(FILE)'

.PHONY: clean
clean: ## Remove what the other targets made here. The cache folder stays.
	rm -rf .venv dist public .mypy_cache .ruff_cache .pytest_cache
