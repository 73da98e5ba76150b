# Every task of tasks.py, inside .venv, which is made when it is missing or older than the requirements.
# make package ENV=prod CONFIG=config/svd.yaml ARGS="--set endpoint.instance_type=ml.g5.4xlarge"

ENV ?= local
CONFIG ?= config/svd.yaml
ARGS ?=
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INVOKE := $(BIN)/invoke
# invoke with signals taken care of from the start; `exec` so that those for make reach it, and not a shell.
RUN := exec $(BIN)/python -m sagepack

.DEFAULT_GOAL := help
SPEC_TASKS := validate lock plan download assemble checksum tar upload deploy package verify predict destroy clean doctor gc policy
.PHONY: help setup serve-venv requirements lint format test test-all bench $(SPEC_TASKS)

help: ## Print this help
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | awk -F '\t' '{ printf "  make %-14s %s\n", $$1, $$2 }'
	@echo "  make TASK           any of: $(SPEC_TASKS)"
	@echo "                      with ENV=$(ENV) CONFIG=$(CONFIG) ARGS='--set key=value --json --yes'"
	@echo "  $(INVOKE) --list    explains each task"

$(BIN)/.run: requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13) and "sagepack needs Python 3.10 to 3.13; name one with PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	touch $@

$(BIN)/.dev: requirements-dev.lock $(BIN)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	touch $@

$(SPEC_TASKS): $(BIN)/.run
	@$(RUN) $@ --config '$(CONFIG)' --env '$(ENV)' $(ARGS)

setup: $(BIN)/.dev ## Everything that working on sagepack takes, and the checks of a commit as a git hook
	$(BIN)/pre-commit install

serve-venv: .venv-serve/.done ## The image's serving stack for the sandbox's endpoints (brings torch; needs Java and Python 3.11 or later)
.venv-serve/.done: requirements-serve.txt $(BIN)/.run
	$(BIN)/python -m sagepack sandbox.install
	touch $@

# `coverage[toml]` stays so: pip, told to require hashes, takes no newer `coverage` for it, but refuses the whole list.
requirements: $(BIN)/.run ## Resolve pyproject.toml into requirements.lock and requirements-dev.lock again
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile --quiet --universal --no-strip-extras --python-version 3.10 --generate-hashes --no-header --extra sandbox pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --no-strip-extras --python-version 3.10 --generate-hashes --no-header --extra sandbox --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock

lint: $(BIN)/.dev ## Style, types, import layers, dependencies, spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	for code in inference_code/*/; do MYPYPATH=$$code:inference_code/shared $(BIN)/mypy --no-error-summary $$code || exit 1; done
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/codespell

format: $(BIN)/.dev ## Rewrite the code in the project's format
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format --quiet .

test: $(BIN)/.dev ## The fast tests: no network but loopback
	$(BIN)/pytest -m "not slow" -n 2

test-all: $(BIN)/.dev ## The fast and the slow tests, with coverage
	HYPOTHESIS_PROFILE=thorough $(BIN)/pytest -n 2 -o faulthandler_timeout=3600 --cov --cov-report=term

bench: $(BIN)/.dev ## Measure against what people do today and print the ratios
	$(BIN)/python -m benchmarks
