# `make check` is what a change must pass; PYTHON names the interpreter that has `.[test]` installed.
PYTHON ?= .venv/bin/python
BIN := $(dir $(PYTHON))

.PHONY: check
check:
	$(BIN)ruff format --check .
	$(BIN)ruff check .
	$(BIN)mypy
	$(BIN)lint-imports
	$(PYTHON) -m pytest
