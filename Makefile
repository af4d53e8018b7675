PYTHON ?= python3
ifeq ($(PYTHON),python3)
VENV := .venv
else
# Each other Python has an environment of its own, called after its version.
FOUND := $(shell tools/pythons.sh $(PYTHON))
VENV := .venv-$(or $(word 1,$(FOUND)),$(error $(PYTHON) is not there, is older than 3.11, or has no venv module))
override PYTHON := $(word 2,$(FOUND))
endif
BIN := $(VENV)/bin
# uv, when it is there already, installs in a tenth of the time that pip takes.
INSTALL = $(if $(UV),$(UV) pip install --python $(BIN)/python,$(BIN)/python -m pip install) --quiet
SECONDS ?= 900

# Tests wait most of the time; but those that measure it can't have others beside them, nor a server
# that coverage makes two times slower.
# In the order of their names: the long ones, which are in few files, come before the unit tests.
BESIDE := --numprocesses=3 --dist=loadfile --no-loadscope-reorder -m "not alone and not image"
ALONE := -m "alone and not image"
# What a change needs before it is pushed, in less than eight minutes.
QUICK := tests/unit tests/contract tests/web tests/process
BESIDE_QUICK := $(QUICK) --numprocesses=3 --dist=loadfile --no-loadscope-reorder \
	-m "not alone and not thorough"
ALONE_QUICK := $(QUICK) -m "alone and not thorough"
FAST := tests/unit tests/contract tests/web --numprocesses=2 --dist=worksteal -m "not server"

# A person at a terminal reads text; a deployment logs JSON by default. A variable of another name,
# since MAIL_LOG_FORMAT would outrank the configuration file.
run: export GOMAIL_DEFAULT_LOG_FORMAT ?= text

.PHONY: help run test test-all test-fast test-pythons coverage image-test soak reliability bench bench-cpu bench-peers bench-bounds bench-rate-limit bench-databases bench-deliveries bench-metrics bench-reading check format docs lock clean

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(BIN)/runtime-installed ## Install and start on 127.0.0.1:3000
	$(BIN)/gunicorn wsgi:app

test: $(BIN)/dev-installed ## Install and run all tests but the long ones, in some seven minutes
	$(BIN)/python -m pytest $(BESIDE_QUICK)
	$(BIN)/python -m pytest $(ALONE_QUICK)

test-all: $(BIN)/dev-installed ## Run all tests but those of the image
	$(BIN)/python -m pytest $(BESIDE)
	$(BIN)/python -m pytest $(ALONE)

test-fast: $(BIN)/dev-installed ## Run those that start no server, in about two minutes
	$(BIN)/python -m pytest $(FAST)

# CI uses the oldest one for everything else.
test-pythons: $(BIN)/dev-installed ## Run those with the newest other Python that is there
	@own=$$($(BIN)/python -c 'import platform; print(platform.python_version())'); \
	tools/pythons.sh | grep -v "^$$own " | sort -V | tail -1 | { read -r version python || exit 0; \
		echo "Python $$version, $$python"; \
		$(MAKE) --no-print-directory test-fast PYTHON=$$python UV=$(BIN)/uv </dev/null; }

# Servers take twice as long with it, and tests that start none reach almost all lines.
coverage: $(BIN)/dev-installed ## Run all tests; branch coverage fails below 90 %
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(BESIDE) tests/unit tests/contract tests/web
	$(BIN)/python -m pytest $(BESIDE) tests/browser tests/process tests/system
	$(BIN)/python -m pytest $(ALONE)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

image-test: $(BIN)/dev-installed ## Build the image and test it; needs root, buildah and debootstrap
	$(BIN)/python -m pytest --verbose -m image tests/system

soak: $(BIN)/dev-installed ## Load a server for SECONDS=900; fails when something grows or is lost
	PYTHONPATH=tests $(BIN)/python tests/system/soak.py --seconds $(SECONDS)

reliability: $(BIN)/dev-installed ## Run all that proves a promise, and write docs/reliability.md
	GOMAIL_ALL_ROUNDS=1 $(BIN)/python -m pytest -m promise \
		--reliability=docs/reliability.md

bench: $(BIN)/dev-installed ## Measure how fast mail is taken, and write docs/benchmarks.md; needs root
	PYTHONPATH=tests $(BIN)/python benchmarks/bench_delivery.py --write docs/benchmarks.md

bench-cpu: $(BIN)/runtime-installed ## Count the calls of a request; fails at 3 % over docs/benchmarks.md
	$(BIN)/python benchmarks/bench_cpu.py --check

bench-peers: $(BIN)/dev-installed ## Measure GoMail beside scripts in Postfix; needs root
	PYTHONPATH=tests $(BIN)/python benchmarks/bench_peers.py

bench-bounds: $(BIN)/runtime-installed ## Measure memory, start, /health and a full store under load
	$(BIN)/python benchmarks/bench_bounds.py

bench-rate-limit: $(BIN)/runtime-installed ## Measure what the rate limit costs a request
	$(BIN)/python benchmarks/bench_rate_limit.py

bench-databases: $(BIN)/dev-installed ## Measure PostgreSQL and an object store beside SQLite
	PYTHONPATH=tests $(BIN)/python benchmarks/bench_databases.py

bench-deliveries: $(BIN)/runtime-installed ## Measure what deliveries cost, and how they come back
	$(BIN)/python benchmarks/bench_deliveries.py

bench-metrics: $(BIN)/runtime-installed ## Measure what counting costs a request; fails at 3 %
	$(BIN)/python benchmarks/bench_metrics.py

bench-reading: $(BIN)/runtime-installed ## Measure reading beside a million messages, and 64 waiters
	$(BIN)/python benchmarks/bench_reading.py

check: $(BIN)/dev-installed ## Lint, type-check, and compare generated pages with their sources
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile
	$(BIN)/python tools/pages.py --check

format: $(BIN)/dev-installed ## Format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(BIN)/dev-installed ## Write the generated pages
	$(BIN)/python tools/pages.py

lock: $(BIN)/dev-installed ## Pin the dependencies of setup.cfg and pyproject.toml anew, with hashes
	$(BIN)/python -c 'import tomllib; \
		print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
		| $(BIN)/uv pip compile - --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --output-file requirements-build.lock
	$(BIN)/uv pip compile setup.cfg --universal --python-version 3.11 --generate-hashes \
		--no-header --upgrade --output-file requirements.lock
	$(BIN)/uv pip compile setup.cfg --universal --python-version 3.11 --generate-hashes \
		--no-header --extra dev --constraint requirements.lock --output-file requirements-dev.lock

clean: ## Remove the virtual environment and what tools left behind
	rm -rf .venv .venv-* build *.egg-info .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(BIN)/runtime-installed: requirements-build.lock requirements.lock setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) --require-hashes --requirement requirements-build.lock --requirement requirements.lock
	$(INSTALL) --no-deps --no-build-isolation --editable .
	touch $@

$(BIN)/dev-installed: requirements-dev.lock $(BIN)/runtime-installed
	$(INSTALL) --require-hashes --requirement requirements-dev.lock
	touch $@
