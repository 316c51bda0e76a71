# `make demo` trains RAM on handwritten digits and shows where it looks; `make test` checks everything.
# Both make the environment they need, with nothing but Python 3.11 or later and pip.

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt
RUN := runs/demo

# A third of all that is installed is ever imported: what is compiled is what was imported once, and kept for the hundreds of processes
# that tests start, whatever the environment says.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint pytest format clean

demo: .venv/installed
	$(BIN)/attention rl train --env attention_env/Digits-v0 --out $(RUN)
	$(BIN)/attention rl evaluate $(RUN)
	$(BIN)/attention rl watch $(RUN)

# Linters and tests run beside each other.
test: .venv/installed
	$(MAKE) --no-print-directory --jobs=2 lint pytest

# Files go to as many processes as there are cores, four at the most: each has libraries of a gigabyte in memory.
pytest: .venv/installed
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
	touch $@

clean:
	rm -rf .venv build runs/demo *.egg-info .mypy_cache .pytest_cache .ruff_cache
