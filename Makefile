# Everything a newcomer needs: `make demo`, `make test`, `make bench`.
# Needs python3 (>= 3.10, with venv and pip) and a package index; nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOWEST := .venv-lowest
STAMP := $(VENV)/.installed
LOWEST_STAMP := $(LOWEST)/.installed
JOBS ?= 2

.PHONY: help demo test lint types unit lowest bench expected clean

help:
	@echo "make demo    build fixtures/projects/quickstart for python3.13 on arm64"
	@echo "make test    lint, types, all tests, and the tests on the lowest dependencies"
	@echo "make bench   compare with uv + zip"
	@echo "make clean   remove what these targets made"

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "python3 >= 3.10 is needed: set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --group dev --editable '.[backends]'
	touch $@

# The lowest versions that pyproject.toml admits: hosts may hold us to them.
$(LOWEST_STAMP): $(STAMP)
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(BIN)/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct \
		--constraint tests/lowest.txt --group test --editable '.[backends]'
	touch $@

demo: $(STAMP)
	$(BIN)/lambda-build fixtures/projects/quickstart --runtime python3.13 --arch arm64

test: lint types unit lowest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

unit: $(STAMP)
	$(BIN)/pytest -n $(JOBS)

lowest: $(LOWEST_STAMP)
	$(LOWEST)/bin/pytest -n $(JOBS) -m 'not index'

bench: $(STAMP)
	$(BIN)/python benchmarks/bench.py

clean:
	rm -rf $(VENV) $(LOWEST) .cache dist benchmarks/.work .mypy_cache .pytest_cache .ruff_cache .hypothesis
