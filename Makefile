# Everything runs from .venv, which every target that needs it creates by itself.
#   make test ARGS="-k ledger -x"     passes ARGS on to pytest (demo: to `naiad demo`)
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BENCH := build/bench
SEED ?= 0
N ?=
ARGS ?=
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHON

.PHONY: help setup demo test lint format bars bench peers gateway-peers sdks llmock llama proto clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## /{printf "  make %-13s %s\n", $$1, $$2}' Makefile

setup: $(READY) ## create or refresh .venv (done by itself when needed)

# The folder clients/python/naiad changes when a package is added to it, and an editable install must learn of that.
$(READY): pyproject.toml clients/python/pyproject.toml clients/python/naiad scripts/setup.sh
	@scripts/setup.sh
	@touch $@

demo: $(READY) ## watch a server learn on 3,609 real prompts
	@$(BIN)/naiad demo $(ARGS)

# A process more than cores, since many tests wait; the tests of a file stay together, for its servers serve them all.
test: $(READY) ## run the tests
	@$(BIN)/python -m pytest -n $$(($$(nproc) + 1)) --dist loadfile $(ARGS)

lint: $(READY) ## check format, style, types, direction of imports and the API definition
	@failed=(); \
	check() { echo "-- $$*"; "$$@" </dev/null || failed+=("$$1"); }; \
	check ruff format --check --output-format concise .; \
	check ruff check .; \
	check mypy; \
	check lint-imports --no-logo; \
	if [ -x proto/check.sh ]; then check proto/check.sh; fi; \
	if (( $${#failed[@]} )); then echo "lint failed: $${failed[*]}" >&2; exit 1; fi

format: $(READY) ## rewrite the code in the house format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bars: $(READY) ## run the long checks tests/bars/b*.py (SEED=0, N=default of each)
	@failed=(); \
	for bar in $(sort $(wildcard tests/bars/b[0-9]*.py)); do \
	  echo "== $$bar --seed $(SEED)$(if $(N), --n $(N))"; \
	  $(BIN)/python "$$bar" --seed $(SEED) $(if $(N),--n $(N)) </dev/null || failed+=("$$bar"); \
	done; \
	if (( $${#failed[@]} )); then echo "failed: $${failed[*]}" >&2; exit 1; fi

bench: $(READY) ## measure; figures go to build/bench/*.json
	@mkdir -p $(BENCH)
	@failed=(); \
	for name in core serving guarded gateway streams demo; do \
	  echo "== benchmarks.$$name"; \
	  $(BIN)/python -m benchmarks.$$name --json $(BENCH)/$$name.json </dev/null || failed+=("$$name"); \
	done; \
	if (( $${#failed[@]} )); then echo "failed: $${failed[*]}" >&2; exit 1; fi

peers: .venv-peers/.ready ## make .venv-peers, the peers of benchmarks.routing

.venv-peers/.ready: benchmarks/routing/peers.txt
	@$(or $(PYTHON),python3) -m venv .venv-peers
	@.venv-peers/bin/python -m pip install -q --disable-pip-version-check --no-input -r $< </dev/null
	@touch $@

gateway-peers: .venv-gateway/.ready ## make .venv-gateway, the peers of benchmarks.gateway

.venv-gateway/.ready: benchmarks/gateway_peers.txt benchmarks/gateway_peers.json scripts/gateway_peers.sh
	@scripts/gateway_peers.sh
	@touch $@

sdks: .venv-sdks/.ready ## make .venv-sdks, the vendors' own clients that tests compare with

.venv-sdks/.ready: tests/sdks/requirements.txt
	@$(or $(PYTHON),python3) -m venv .venv-sdks
	@.venv-sdks/bin/python -m pip install -q --disable-pip-version-check --no-input -r $< </dev/null
	@touch $@

llmock: .venv-llmock/.ready ## make .venv-llmock, providers that fail as they are told and judge their callers

.venv-llmock/.ready: tests/llmock/requirements.txt
	@$(or $(PYTHON),python3) -m venv .venv-llmock
	@.venv-llmock/bin/python -m pip install -q --disable-pip-version-check --no-input -r $< </dev/null
	@touch $@

llama: ## make .venv-llama, a real inference server with a small model (builds for 15 minutes, once; LLAMA_SERVER=path takes one)
	@scripts/llama.sh

proto: $(READY) ## regenerate clients/python/naiad/v1 from proto/
	@proto/generate.sh

clean: ## remove built things and caches (keeps .venv and data)
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache \
	  *.egg-info clients/python/*.egg-info clients/python/build clients/python/dist
	@find bandit adapters server clients/python tests benchmarks scripts -name __pycache__ -type d \
	  -prune -exec rm -rf {} + 2>/dev/null || true
