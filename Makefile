# The project's commands. `make` alone lists them.
#
# .venv holds what the server needs to run (requirements.lock); .venv/.dev-installed
# marks that the developers' tools (requirements-dev.lock) are in it too. Both lock
# files carry hashes, so what is installed is what was tested.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := config federation homeserver storage
# tests/conftest.py says how many processes there are and which files come first; the next run finds what this one compiled.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
LOCK_OPTIONS := --quiet --generate-hashes --allow-unsafe --strip-extras \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links

.DEFAULT_GOAL := help
.PHONY: help venv dev run demo test explore check format schema docs lock clean

help: ## list these commands
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 18

venv: $(VENV)/.compiled ## make .venv with .venv/bin/homeserver

dev: $(VENV)/.dev-installed $(VENV)/.compiled ## the same, with the developers' tools

run: $(VENV)/.compiled ## start a server in ./data (http://127.0.0.1:8008)
	$(BIN)/homeserver run

demo: dev ## two federated servers with users and a shared room
	$(BIN)/python -m tests.harness.demo

test: dev ## run every test, from nothing
	$(PYTEST) $(ARGS)

explore: dev ## let chance try the laws with new examples; tests of one folder: ARGS=tests/simulation
	$(PYTEST) --hypothesis-profile explore -m "not system and not interop" $(ARGS)

check: dev ## lint, types, import contracts and size budgets
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest -q tests/architecture

format: dev ## let ruff format and mend what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

schema: dev ## write storage/schema.sql from the migrations
	$(BIN)/python -m storage.dump_schema

docs: venv ## write homeserver.yaml.example and the generated reference pages
	$(BIN)/python -m config.documentation
	$(BIN)/python -m homeserver.app.endpoint_reference

lock: dev ## resolve the dependencies anew into the lock files (UPGRADE=1: newest)
	CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile $(LOCK_OPTIONS) \
		$(if $(UPGRADE),--upgrade) --build-deps-for editable \
		--output-file requirements.lock pyproject.toml
	CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile $(LOCK_OPTIONS) \
		$(if $(UPGRADE),--upgrade) --extra dev --constraint requirements.lock \
		--output-file requirements-dev.lock pyproject.toml

clean: ## remove .venv and the caches (never ./data)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis *.egg-info

$(VENV)/.installed: requirements.lock pyproject.toml scripts/make-venv
	PYTHON="$(PYTHON)" sh scripts/make-venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --no-build-isolation --editable .
	@touch $@

# So that a start does not compile, whatever PYTHONDONTWRITEBYTECODE says.
$(VENV)/.compiled: $(VENV)/.installed $(shell find $(PACKAGES) -name '*.py')
	@$(BIN)/python -m compileall -q -j 0 $(PACKAGES)
	@touch $@

$(VENV)/.dev-installed: $(VENV)/.installed requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --require-hashes --requirement requirements-dev.lock
	@touch $@
