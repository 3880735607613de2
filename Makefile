# `make` alone lists the targets. Wants GNU make, Python 3.11 or newer with venv, and a C++ compiler.

SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.llink-ray-setup
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-real small base serve test test-slow test-ui soak lint tiny paper-table docs wheel lock clean

help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make the environment in .venv and install the pinned packages
	@:

# What pip says goes to stderr: stdout of a target is its result alone.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "error: Python 3.11 or newer is needed, and '$(PYTHON)' is not:" \
	    "install it, or name it, e.g. make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "error: '$(PYTHON)' has no venv module: install it, e.g. apt install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) >&2
	@echo "installing the pinned packages into $(VENV); the first time takes a few minutes" >&2
	@$(PIP) -r requirements.lock >&2 || { \
	  echo "error: pip could not install requirements.lock, see above. One package is built from source" \
	    "and needs a C++ compiler and Python's headers: apt install build-essential python3-dev" >&2; exit 1; }
	@$(PIP) --no-deps --no-build-isolation -e . >&2
	@touch $@

demo: setup ## Teach the tiny decoder Tibetan and show what came of it
	@$(BIN)/python jobs/train.py --lang=tibetan

demo-real: setup ## Real models read real sentences (CORPUS=my.tsv LANG_=nepali: teach it)
	@$(BIN)/python jobs/demo_real.py $(if $(CORPUS),--corpus $(CORPUS) --lang "$(LANG_)") $(ARGS)

FROM ?= base
small: setup ## Teach real models a language from the shared base (LANG_=nepali CORPUS=pairs.tsv)
	@$(BIN)/python jobs/train.py --preset=small $(if $(FROM),--init-from="$(FROM)") --lang "$(LANG_)" \
	  --corpus "$(CORPUS)" $(ARGS)

serve: setup ## Serve every language of runs/registry over HTTP (LANGS=all: teach them first)
	@$(BIN)/python -m serve $(if $(LANGS),--teach $(LANGS))

.PHONY: chat
chat: setup ## Chat in the browser; starts the API if it isn't up (LANGS=all: teach them first)
	@$(BIN)/python -m ui --start-api $(if $(LANGS),--teach $(LANGS))

test: lint ## Lint, types, and every test that is not slow
	@$(BIN)/python -m pytest --durations=15 -m "not slow and not ui"

test-slow: setup ## The slow tests: kill and resume, long trainings
	@$(BIN)/python -m pytest --durations=30 -m "slow and not ui"

# LLINK_BROWSER names another browser. Debian's packages are installed where one may; the fonts are for the
# pictures, so without them the tests run all the same.
test-ui: setup ## The chat in a real browser (apt's chromium, installed if it is missing)
	@set -e; wanted=; \
	[ -n "$$LLINK_BROWSER" ] || command -v chromium >/dev/null || wanted=chromium; \
	[ -d /usr/share/fonts/truetype/noto ] || wanted="$$wanted fonts-noto-core"; \
	if [ -n "$$wanted" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing $$wanted" >&2; export DEBIAN_FRONTEND=noninteractive; \
	  { apt-get -qq update && apt-get -qq install -y --no-install-recommends $$wanted; } </dev/null >/dev/null \
	    || echo "warning: apt-get could not install $$wanted" >&2; \
	fi; \
	command -v "$${LLINK_BROWSER:-chromium}" >/dev/null || { \
	  echo "error: no browser at '$${LLINK_BROWSER:-chromium}': apt install chromium fonts-noto-core," \
	    "or name another in LLINK_BROWSER" >&2; exit 1; }; \
	$(BIN)/python -m pytest -m ui

soak: setup ## Half an hour of mixed load on the service: does anything grow (ARGS=--minutes=3)?
	@$(BIN)/python benchmarks/soak.py $(ARGS)

lint: setup ## Lint and types alone
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache
	@$(BIN)/mypy

base: setup ## Train the shared base anew (TEXT=folder LANGS=ne,km ARGS=--minutes=60)
	@$(BIN)/python -m llink_ray.tools.shared_base --text "$(TEXT)" --languages "$(LANGS)" \
	  --output llink_ray/models/base/small $(ARGS)

tiny: setup ## Rebuild the embedded models
	@$(BIN)/python -m llink_ray.tools.embedded_models

paper-table: setup ## Measure the paper's table on the embedded world (ARGS=--docs: into the docs)
	@$(BIN)/python benchmarks/paper_table.py $(ARGS)

docs: setup ## Write docs/settings.md anew
	@$(BIN)/python docs/write_settings.py

wheel: setup ## Build the wheel and the sdist, in dist/
	@$(BIN)/python -m build --no-isolation --outdir dist . >&2

lock: ## Pin the newest packages that pyproject.toml allows, in requirements.lock
	@set -e; tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; \
	$(PYTHON) -m venv "$$tmp" >&2; \
	"$$tmp/bin/python" -m pip install --quiet --upgrade pip >&2; \
	"$$tmp/bin/python" -m pip install --quiet -e '.[dev]' >&2; \
	{ echo "# Every package of the environment, pinned. Written by 'make lock' from pyproject.toml."; \
	  "$$tmp/bin/python" -m pip freeze --all --exclude-editable --exclude pip --exclude wheel \
	  | sed -E 's/^([A-Za-z0-9._-]+==[^+]+)[+].*$$/\1/'; } > "$$tmp/lock"; \
	if grep -n -E ' @ |://' "$$tmp/lock" >&2; then \
	  echo "error: these lines name a place, not a version" >&2; exit 1; fi; \
	cp "$$tmp/lock" requirements.lock

clean: ## Remove the environment, caches and build leftovers (runs/ stays)
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
