# Everything here works from a fresh clone: each target makes .venv and installs what it needs from pyproject.toml.
#
#   make demo     train on 336,776 flights with the local engine, Dask and Spark; a table and demo-output/report.html
#   make test     all checks and tests                make bench    ratios against peers, into docs/benchmarks.md
#   make lint     ruff, import walls, types           make clean    remove what the targets above made
#   make fuzz     every parser under atheris          make soak     fits for MINUTES=30, and what stays behind
#
# PYTHON picks the interpreter (3.10 or newer), VENV the directory of the environment, TESTS what `make test` hands to pytest.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

VENV ?= .venv
TESTS ?= tests
# Seconds for each parser under atheris, and minutes of fits.
EACH ?= 60
MINUTES ?= 30
BIN := $(VENV)/bin
NEWEST := for p in python3 python3.13 python3.12 python3.11 python3.10 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo "$$p" && break; done
PYTHON ?= $(shell $(NEWEST))
VERSION := $(shell $(or $(PYTHON),false) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)

# The environment belongs to one version of Python: another PYTHON makes it anew.
MADE := $(VENV)/.made-$(VERSION)

.PHONY: help demo test bench lint fuzz soak clean

help:
	@sed -n 's/^#   //p' Makefile

$(MADE):
	@if [ -z "$(VERSION)" ]; then \
		echo "dsgd needs Python 3.10 or newer: install it, or name it with 'make PYTHON=/path/to/python3 ...'" >&2; exit 1; fi
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "dsgd needs Python 3.10 or newer, and $(PYTHON) is $(VERSION): try 'make PYTHON=python3.12 ...'" >&2; exit 1; }
	@"$(BIN)/python" -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != "$(VERSION)")' 2>/dev/null || { \
		rm -f "$(VENV)"/.made-* "$(VENV)"/.installed-*; \
		"$(PYTHON)" -m venv --clear "$(VENV)" || { \
		echo "$(PYTHON) cannot make an environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }; }
	@touch "$@"

# One stamp a set of extras; a change of pyproject.toml installs again.
$(VENV)/.installed-%: pyproject.toml $(MADE)
	@echo "Installing dsgd[$*] into $(VENV); the first time takes a few minutes ..."
	@"$(BIN)/python" -m pip install --quiet --quiet --disable-pip-version-check --editable '.[$*]'
	@touch "$@"

demo: $(VENV)/.installed-demo
	@"$(BIN)/python" -m pipelines.demo

lint: $(VENV)/.installed-all
	"$(BIN)/ruff" check
	"$(BIN)/ruff" format --check
	"$(BIN)/lint-imports"
	"$(BIN)/mypy"

# Three processes, one more than the least number of cores, because tests of clusters mostly wait; the tests of one engine stay in
# one of them: its session is started once (tests/conftest.py).
test: lint
	@"$(BIN)/python" -m pipelines.java
	"$(BIN)/python" -m pytest --doctest-modules -q dsgd dask_ext spark_ext pipelines
	"$(BIN)/python" -m pytest -n 3 --dist loadgroup $(TESTS)

bench: $(VENV)/.installed-bench
	@"$(BIN)/python" -m benchmarks

fuzz: $(VENV)/.installed-fuzz
	@"$(BIN)/python" -m tests.fuzz all $(EACH)

soak: $(VENV)/.installed-all
	@"$(BIN)/python" -m benchmarks.soak --minutes $(MINUTES)

clean:
	rm -rf "$(VENV)" demo-output build dist *.egg-info spark-warehouse metastore_db derby.log \
		.pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find dsgd dask_ext spark_ext pipelines tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
