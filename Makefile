# Everything a newcomer needs: `make demo`, `make test`, `make bench`.
# Needs python3 (>= 3.10, with venv and pip) and a package index; nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOWEST := .venv-lowest
NEWEST := .venv-newest
STAMP := $(VENV)/.installed
LOWEST_STAMP := $(LOWEST)/.installed
JOBS ?= 2
# Nothing but what the lock says, and that with its hash; then the tree as it is.
INSTALL := $(BIN)/uv pip install --quiet
LOCKED := --require-hashes --no-deps --exact --requirement
OURS := --no-deps --build-constraints locks/builds.txt --editable .

.PHONY: help demo test lint types hosts unit lowest newest bench lock clean

help:
	@echo "make demo    build fixtures/projects/quickstart for python3.13 on arm64"
	@echo "make test    lint, types, all tests, and the tests on the lowest dependencies"
	@echo "make newest  all tests with the newest of everything, whatever the locks say"
	@echo "make bench   compare with uv + zip"
	@echo "make lock    renew the locks, from which all of these but make newest install"
	@echo "make clean   remove what these targets made"

$(STAMP): pyproject.toml locks/uv.txt locks/builds.txt locks/development.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "python3 >= 3.10 is needed: set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement locks/uv.txt
	$(INSTALL) --python $(BIN)/python $(LOCKED) locks/development.txt
	$(INSTALL) --python $(BIN)/python $(OURS)
	touch $@

# The lowest versions that pyproject.toml admits: hosts may hold us to them.
$(LOWEST_STAMP): $(STAMP) locks/lowest.txt
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv --without-pip $(LOWEST)
	$(INSTALL) --python $(LOWEST)/bin/python $(LOCKED) locks/lowest.txt
	$(INSTALL) --python $(LOWEST)/bin/python $(OURS)
	touch $@

demo: $(STAMP)
	$(BIN)/lambda-build fixtures/projects/quickstart --runtime python3.13 --arch arm64

test: lint
	$(MAKE) --no-print-directory --jobs 3 types hosts $(LOWEST_STAMP)
	$(MAKE) --no-print-directory unit lowest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

# Poetry, PDM, Hatch: the tests would make them as well, each worker for itself.
hosts: $(STAMP)
	PYTHONPATH=tests $(BIN)/python -m fakes.hosts

unit: $(STAMP)
	$(BIN)/pytest -n $(JOBS) --dist worksteal

lowest: $(LOWEST_STAMP)
	$(LOWEST)/bin/pytest -n $(JOBS) --dist worksteal -m 'not index'

# Made anew each time, its hosts included: what is newest changes without notice.
newest: $(STAMP)
	rm -rf $(NEWEST) .cache/newest
	$(PYTHON) -m venv --without-pip $(NEWEST)
	$(INSTALL) --python $(NEWEST)/bin/python --upgrade --group test --editable '.[backends]'
	TEST_NEWEST=1 $(NEWEST)/bin/pytest -n $(JOBS) --dist worksteal

# `make lock NAMES="uv hosts/poetry"` renews these alone.
lock: $(STAMP)
	$(BIN)/python locks/renew.py $(NAMES)

bench: $(STAMP)
	$(BIN)/python benchmarks/bench.py

clean:
	rm -rf $(VENV) $(LOWEST) $(NEWEST) .cache dist benchmarks/.work .mypy_cache .pytest_cache .ruff_cache .hypothesis
