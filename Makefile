# `make demo` trains RAM on handwritten digits and shows where it looks; `make test` checks everything.
# Both make the environment they need, with nothing but Python 3.11 or later and pip.

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt
RUN := runs/demo

.PHONY: demo test lint pytest format clean

demo: .venv/installed
	$(BIN)/attention rl train --env attention_env/Digits-v0 --out $(RUN)
	$(BIN)/attention rl evaluate $(RUN)
	$(BIN)/attention rl watch $(RUN)

# Linters and tests run beside each other.
test: .venv/installed
	$(MAKE) --no-print-directory --jobs=2 lint pytest

# Tests start hundreds of processes, which find everything compiled, even where Python is told to write no bytecode itself.
# Files go to as many processes as there are cores, four at the most: each has libraries of a gigabyte in memory.
pytest: .venv/installed
	$(BIN)/python -m compileall -q -x '/\.(venv|git)/' .
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed, $(PYTHON) is older: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(INSTALL) "torch==2.13.0"
	$(INSTALL) --editable ".[test]"
	$(BIN)/python -m compileall -qq -j 0 .venv/lib || true  # on all cores, where pip takes one; not all packages' files compile
	touch $@

clean:
	rm -rf .venv build runs/demo *.egg-info .mypy_cache .pytest_cache .ruff_cache
