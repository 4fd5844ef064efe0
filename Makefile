# Two commands do it all on a machine with Python 3.11 or later: `make run`, `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The peers bring libraries that must not be in the server's process.
BENCH := .venv-bench
BENCH_STAMP := $(BENCH)/.installed
ARGS ?=
# A worker for each core; what shares a file may share a server or a browser.
WORKERS ?= --numprocesses auto --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help setup node types screenshots run test test-fast check bench docs clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "antiphon needs Python 3.11 or later")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

setup: $(STAMP) ## Make .venv and install everything, pinned

node: ## Install what the JavaScript tests need, into node_modules
	npm install --silent --no-save --no-package-lock --no-audit --no-fund \
		ws@8.18.3 typescript@5.9.3 rxjs@7.8.2 playwright-core@1.65.1 axe-core@4.14.1 \
		@asyncapi/parser@3.6.3

screenshots: $(STAMP) ## Take the screenshots of README and tutorial anew
	$(BIN)/python docs/screenshots.py

types: ## Write the browser module's declarations anew
	node node_modules/typescript/bin/tsc --project server/page/tsconfig.json

run: $(STAMP) ## Serve on http://127.0.0.1:8000 in demo mode
	@$(BIN)/antiphon serve --demo $(ARGS)

test: $(STAMP) ## All tests; what is not installed is skipped with its reason
	$(BIN)/python -m pytest $(WORKERS) $(ARGS)

test-fast: $(STAMP) ## The suite without real sockets, processes or browsers
	$(BIN)/python -m pytest -m 'not system' $(WORKERS) $(ARGS)

check: $(STAMP) ## Lint, types, layers, docs in step
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_layers.py
	$(BIN)/python docs/generate.py --check

bench: $(BENCH_STAMP) ## Measure beside the peers (ARGS="--list" lists the questions)
	$(BENCH)/bin/python -m benchmarks $(ARGS)

$(BENCH_STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,bench]'
	@touch $(BENCH_STAMP)

docs: $(STAMP) ## Write the generated reference pages anew
	$(BIN)/python docs/generate.py

clean: ## Remove what the other targets made
	rm -rf $(VENV) $(BENCH) node_modules build *.egg-info .pytest_cache .mypy_cache .ruff_cache
