# Everything a newcomer needs: `make demo`, `make test`, `make bench`.
# Needs python3 (>= 3.10, with venv and pip) and a package index; nothing else.

PYTHON ?= python3
# Where an environment has its programs.
ifeq ($(OS),Windows_NT)
PROGRAMS := Scripts
else
PROGRAMS := bin
endif
VENV := .venv
BIN := $(VENV)/$(PROGRAMS)
LOWEST := .venv-lowest
NEWEST := .venv-newest
BUILT := .venv-built
DOCS := .venv-docs
STAMP := $(VENV)/.installed
LOWEST_STAMP := $(LOWEST)/.installed
DOCS_STAMP := $(DOCS)/.installed
JOBS ?= 2
# Nothing but what the lock says, and that with its hash; then the tree as it is.
INSTALL := $(BIN)/uv pip install --quiet
LOCKED := --require-hashes --no-deps --exact --requirement
OURS := --no-deps --build-constraints locks/builds.txt --editable .
BUILD := $(BIN)/uv build --quiet --build-constraints locks/builds.txt --require-hashes
# Some cases of large matrices, which say little when the others pass, wait for `make nightly`.
EACH_TIME := not nightly
# What the version of a dependency can change: the rooms that use one, and whole builds.
LOWEST_TESTS ?= $(addprefix tests/,commands config fetch frontends/test_cli.py \
	frontends/test_completion.py invoke lock page pipeline/test_build.py properties runtime \
	selection source_build stage test_docs.py verify wheel)
# The tests that `make built` runs: those of all that a user can start.
DOORS ?= tests/frontends tests/commands

.PHONY: help demo test lint types hosts unit lowest nightly arm64 newest examples action dist built
.PHONY: docs site reference session release fuzz bench bench-monorepo lock clean

help:
	@echo "make demo    build fixtures/projects/quickstart for python3.13 on arm64"
	@echo "make test    lint, types, tests, some of them on the lowest dependencies and with the built wheel"
	@echo "make built   build wheel and sdist, and test the wheel in an environment of its own"
	@echo "make docs    build the documentation in .cache/docs; a broken link is an error"
	@echo "make session  record the terminal session in the README anew"
	@echo "make reference  write the settings and the command line, as the code has them, into docs/"
	@echo "make nightly every case of every test, on the locked dependencies and on the lowest"
	@echo "make arm64   compile sources of the index for arm64, and use them and a function under qemu"
	@echo "make newest  all tests with the newest of everything, whatever the locks say"
	@echo "make examples  run the examples with real deploy tools, which need Node.js"
	@echo "make fuzz    search each parser for inputs that it does not answer, for a minute each"
	@echo "make bench   compare with uv + zip"
	@echo "make bench-monorepo   compare one run for 50 functions with 50 single runs"
	@echo "make lock    renew the locks, from which all of these but make newest install"
	@echo "make release TAG=vVERSION  all that has to hold before a release, which is in dist/ then"
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
	test -x $(LOWEST)/$(PROGRAMS)/python || $(PYTHON) -m venv --without-pip $(LOWEST)
	$(INSTALL) --python $(LOWEST)/$(PROGRAMS)/python $(LOCKED) locks/lowest.txt
	$(INSTALL) --python $(LOWEST)/$(PROGRAMS)/python $(OURS)
	touch $@

demo: $(STAMP)
	$(BIN)/lambda-build fixtures/projects/quickstart --runtime python3.13 --arch arm64

test: lint
	$(MAKE) --no-print-directory --jobs 3 types hosts $(LOWEST_STAMP)
	$(MAKE) --no-print-directory unit lowest
# Enough to see that the wheel is whole; a job of its own tests the rest with it.
	$(MAKE) --no-print-directory built DOORS=tests/frontends/test_cli.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
# Without shellcheck and pyflakes, which one machine has and another has not.
	$(BIN)/actionlint -shellcheck= -pyflakes= .github/workflows/*.yml

types: $(STAMP)
	$(BIN)/mypy

# Poetry, PDM, Hatch: the tests would make them as well, each worker for itself.
hosts: $(STAMP)
	PYTHONPATH=tests $(BIN)/python -m fakes.hosts

unit: $(STAMP)
	$(BIN)/pytest -n $(JOBS) --dist worksteal -m '$(EACH_TIME)'

lowest: $(LOWEST_STAMP)
	$(LOWEST)/$(PROGRAMS)/pytest -n $(JOBS) --dist worksteal -m 'not index and $(EACH_TIME)' $(LOWEST_TESTS)

nightly: $(STAMP) $(LOWEST_STAMP)
	$(BIN)/pytest -n $(JOBS) --dist worksteal
	$(LOWEST)/$(PROGRAMS)/pytest -n $(JOBS) --dist worksteal -m 'not index'

# `make nightly` runs these as well. What is skipped says why: qemu-user-static, root and apt
# are needed, and a Python of the version that apt has.
# `make arm64 UV_PYTHONS=3.13` installs Pythons first, to compile for runtimes that have them.
arm64: $(STAMP)
	$(if $(UV_PYTHONS),$(BIN)/uv python install $(UV_PYTHONS))
	$(BIN)/pytest -v tests/source_build/test_real_sources.py tests/invoke/test_arm64.py

# Made anew each time, its hosts included: what is newest changes without notice.
newest: $(STAMP)
	rm -rf $(NEWEST) .cache/newest
	$(PYTHON) -m venv --without-pip $(NEWEST)
	$(INSTALL) --python $(NEWEST)/$(PROGRAMS)/python --upgrade --group test --editable '.[backends,completion,sbom]'
	TEST_NEWEST=1 $(NEWEST)/$(PROGRAMS)/pytest -n $(JOBS) --dist worksteal

# Real deploy tools, from locks/hosts and locks/npm; a nightly workflow runs it.
examples: $(STAMP)
	$(BIN)/pytest examples

# The wheel is made of the sdist, as an installer makes it that finds no wheel, and has to
# be what the tree gives.
dist: $(STAMP)
	rm -rf dist .cache/wheel-of-tree
	$(BUILD) --out-dir dist
	$(BUILD) --wheel --out-dir .cache/wheel-of-tree
	cmp dist/*.whl .cache/wheel-of-tree/*.whl

# `tests/conftest.py` sees to it that what is tested is the wheel.
built: dist
	rm -rf $(BUILT)
	$(PYTHON) -m venv --without-pip $(BUILT)
	$(INSTALL) --python $(BUILT)/$(PROGRAMS)/python $(LOCKED) locks/development.txt
	$(INSTALL) --python $(BUILT)/$(PROGRAMS)/python --no-deps dist/*.whl
	$(BUILT)/$(PROGRAMS)/lambda-build --version
	TEST_WHEEL=$$(echo dist/*.whl) $(BUILT)/$(PROGRAMS)/pytest -n $(JOBS) --dist worksteal -m '$(EACH_TIME)' $(DOORS)

# What is published is what was tested last: `built` makes dist/.
release: $(STAMP)
	$(BIN)/python .ci/check_release.py "$(TAG)"
	$(MAKE) --no-print-directory lint types docs nightly
	$(MAKE) --no-print-directory built EACH_TIME=

$(DOCS_STAMP): $(STAMP) locks/docs.txt
	test -x $(DOCS)/$(PROGRAMS)/python || $(PYTHON) -m venv --without-pip $(DOCS)
	$(INSTALL) --python $(DOCS)/$(PROGRAMS)/python $(LOCKED) locks/docs.txt
	$(INSTALL) --python $(DOCS)/$(PROGRAMS)/python $(OURS)
	touch $@

docs: $(DOCS_STAMP)
	$(DOCS)/$(PROGRAMS)/sphinx-build --quiet --fresh-env --write-all --fail-on-warning --keep-going docs .cache/docs

# The outputs of the action of this repository, which its workflow hands over as variables.
action:
	test "$$(openssl dgst -sha256 -binary "$$ZIP" | openssl base64 -A)" = "$$SHA256"
	test "$$CHANGED" = true

# What GitHub Pages takes.
site: docs
	tar --create --file .cache/artifact.tar --directory .cache/docs .

session: $(DOCS_STAMP)
	$(DOCS)/$(PROGRAMS)/python docs/record_session.py

# The tests tell when it is due.
reference: $(STAMP)
	$(BIN)/python docs/make_reference.py
	$(BIN)/python docs/make_schemas.py

# `make lock NAMES="uv hosts/poetry"` renews these alone.
lock: $(STAMP)
	$(BIN)/python locks/renew.py $(NAMES)

# `make fuzz FUZZ_SECONDS=600 TARGETS="wheel elf"`: what is found is added to tests/fuzz/corpus.
FUZZ_SECONDS ?= 60
fuzz: $(STAMP)
	PYTHONPATH=tests FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -m fuzz.run $(TARGETS)

bench: $(STAMP)
	$(BIN)/python -m benchmarks.bench
	$(BIN)/python -m benchmarks.invoke

bench-monorepo: $(STAMP)
	$(BIN)/python -m benchmarks.monorepo

clean:
	rm -rf $(VENV) $(LOWEST) $(NEWEST) $(BUILT) $(DOCS) .cache dist benchmarks/.work .mypy_cache .pytest_cache .ruff_cache .hypothesis
