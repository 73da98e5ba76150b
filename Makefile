# Every task of sagepack, inside .venv, which is made when it is missing or older than the requirements.
# make package ENV=prod CONFIG=config/svd.yaml ARGS="--set endpoint.instance_type=ml.g5.4xlarge"

ENV ?= local
CONFIG ?= config/svd.yaml
ARGS ?=
# What `make diff` compares: releases, live or tree.
A = live
B = tree
# What `make fleet` does, to which specs, in which environments.
GOAL ?= plan
SELECT ?= config/*.yaml
ENVS ?= $(ENV)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INVOKE := $(BIN)/invoke

.DEFAULT_GOAL := help
SPEC_TASKS := validate lock plan graph download assemble checksum tar package serve upload deploy verify sign predict status logs wake sleep destroy releases diff promote rollback clean doctor gc policy scan fleet export sbom report
SANDBOX_TASKS := sandbox-status sandbox-env sandbox-stop
.PHONY: help setup serve-venv requirements lint format test test-serving test-all bench docs pictures $(SPEC_TASKS) $(SANDBOX_TASKS)

# `make plan env=prod` would set a variable that nobody reads, and plan for the sandbox.
VARIABLES := ENV CONFIG ARGS PYTHON A B GOAL SELECT ENVS
given := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
unknown := $(filter-out $(VARIABLES) MAKE% SHELL,$(given))
meant = $(strip $(if $(filter env Env,$(1)),ENV)$(if $(filter config Config,$(1)),CONFIG)$(if $(filter args Args,$(1)),ARGS))
$(foreach name,$(unknown),$(error unknown variable $(name), \
	$(if $(call meant,$(name)),did you mean $(call meant,$(name))=$(value $(name))?,there are $(VARIABLES))))

# A value as one word of the shell, whatever characters it has.
quoted = '$(subst ','\'',$(value $(1)))'
# Signals are taken care of from the start; with `exec`, those for make reach the program, and not a shell.
about = $(if $(filter fleet,$@),$(call quoted,GOAL) --select $(call quoted,SELECT) --envs '$(subst ','\'',$(ENVS))',--config $(call quoted,CONFIG) --env $(call quoted,ENV))
TASK = $(BIN)/python -m sagepack $(subst sandbox-,sandbox.,$@) $(about)$(if $(filter diff,$@), $(call quoted,A) $(call quoted,B)) $(ARGS)
say = @echo "sagepack: $(1)" >&2
# pip's answers go to stderr, as stdout may be a document; a terminal sees how far it is.
PIP := -m pip install --disable-pip-version-check
COUNTED := n=0; while read -r word rest; do case $$word in \
	Collecting) n=$$((n + 1)); printf '%-70.70s\r' "  $$n: $${rest%% *}" ;; \
	Installing) printf '%-70s\r' "  writing $$n packages" ;; \
	ended) printf '%70s\r' ''; exit $$rest ;; esac; done
install = @if [ -t 2 ]; then { $(1) -u $(PIP) $(2); echo "ended $$?"; } | { $(COUNTED); } >&2; else $(1) $(PIP) --quiet $(2) >&2; fi

help: ## Print this help
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | awk -F '\t' '{ printf "  make %-14s %s\n", $$1, $$2 }'
	@echo 'any of: $(SPEC_TASKS) $(SANDBOX_TASKS)' | fold -s -w 56 | sed -e '1s/^/  make TASK           /' -e '2,$$s/^/                      /' -e 's/ *$$//'
	@echo "                      with ENV=$(ENV) CONFIG=$(CONFIG) ARGS='--json --yes'"
	@echo "  make diff A=2 B=1   compares two releases; A=live B=tree if left out"
	@echo "  make fleet GOAL=deploy ENVS=dev,prod   many specs; SELECT='config/s*.yaml'"
	@echo "  $(INVOKE) --list    explains each task"

$(BIN)/.run: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14) and f"sagepack needs Python 3.10 to 3.14, and this is {sys.version.split()[0]}: name one, such as make PYTHON=python3.12")'
	$(call say,installing into $(VENV) (once; about half a minute))
	@$(PYTHON) -m venv $(VENV) >&2
	$(call install,$(BIN)/python,--require-hashes -r requirements.lock)
	@touch $@

$(BIN)/.dev: requirements-dev.lock $(BIN)/.run
	$(call say,installing the tools for development into $(VENV) (once; about half a minute))
	$(call install,$(BIN)/python,--require-hashes -r requirements-dev.lock)
	@touch $@

# That a plan found work or `diff` differences, exit code 2, is no error of make.
plan diff fleet: $(BIN)/.run
	@$(TASK); code=$$?; [ $$code -eq 2 ] || exit $$code

$(filter-out plan diff fleet,$(SPEC_TASKS)) $(SANDBOX_TASKS): $(BIN)/.run
	@exec $(TASK)

# A mistyped task: the program knows which was meant.
.DEFAULT:
	@if [ -e $(BIN)/.run ]; then exec $(TASK); else echo "there is no target $@; \`make help\` lists them" >&2; exit 1; fi

setup: $(BIN)/.dev ## All that working on sagepack takes, with a git hook
	$(BIN)/pre-commit install

serve-venv: .venv-serve/.done ## The serving stack, for serve and the sandbox's endpoints
.venv-serve/.done: requirements-serve.txt $(BIN)/.run
	@$(BIN)/python -m sagepack serve.install
	@touch $@

# `coverage[toml]` stays so: pip, told to require hashes, takes no newer `coverage` for it, but refuses the whole list.
requirements: $(BIN)/.run ## Write the requirements*.lock and the lists of jobs again
	$(BIN)/uv pip compile --quiet --universal --no-strip-extras --python-version 3.10 --generate-hashes --no-header --extra sandbox --extra report pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --no-strip-extras --python-version 3.10 --generate-hashes --no-header --extra sandbox --extra report --extra cluster --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	$(BIN)/uv pip compile --quiet --universal --no-strip-extras --python-version 3.10 --generate-hashes --no-header --no-annotate -c requirements.lock pyproject.toml -o sagepack/engine/remote/requirements.txt
	echo "cryptography>=45" | $(BIN)/uv pip compile --quiet --universal --no-strip-extras --python-version 3.10 --generate-hashes --no-header --no-annotate --no-emit-package typing-extensions -c requirements.lock - -o sagepack/engine/remote/certificates.txt

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

# Three processes on two cores: a third of the time a test waits for a server or a program.
test: $(BIN)/.dev ## The fast tests: no network but loopback
	$(BIN)/pytest -m "not slow" -n 3 --dist worksteal

# The stack that SAGEPACK_SERVE_PYTHON names is taken as it is.
test-serving: $(BIN)/.dev $(if $(SAGEPACK_SERVE_PYTHON),,.venv-serve/.done) ## The tests under the image's serving stack
	$(BIN)/pytest -n 0 -o faulthandler_timeout=3600 $(sort $(wildcard tests/slow/test_serving*.py)) tests/slow/test_handlers_in_image.py tests/slow/test_new_serves.py

test-all: $(BIN)/.dev ## The fast and the slow tests, with coverage
	HYPOTHESIS_PROFILE=thorough $(BIN)/pytest -n 2 -o faulthandler_timeout=3600 --cov --cov-report=term

docs: $(BIN)/.dev ## Write docs/reference/, golden files and schemas again
	$(BIN)/pytest -n 0 tests/unit/cli tests/unit/api tests/unit/test_reference.py tests/integration/test_golden.py --update-goldens

pictures: $(BIN)/.dev $(if $(SAGEPACK_SERVE_PYTHON),,.venv-serve/.done) ## Make the pictures of README.md again, with Chromium
	$(BIN)/python docs/images/make.py

bench: $(BIN)/.dev ## Measure against what people do today and print the ratios
	$(BIN)/python -m benchmarks
