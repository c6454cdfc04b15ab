# Two commands do everything: `make run` and `make test`.
# Each sets up what it needs in .venv, once; a second run starts at once.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Built with the setuptools of the lock, not with whichever an isolated build would fetch unhashed.
BUILD  := --use-pep517 --no-build-isolation
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
           --no-header --no-emit-index-url --no-annotate

.DEFAULT_GOAL := help
.PHONY: help run test lint types check lock clean model bench

help:  ## show what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

run: $(VENV)/installed  ## set up and run the gateway (stop it with Ctrl-C)
	$(BIN)/raincheck serve

test: $(VENV)/installed-dev  ## set up and run all tests
	$(BIN)/python -m pytest

lint: $(VENV)/installed-dev  ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed-dev  ## check types
	$(BIN)/mypy

check: lint types test  ## everything that must hold before a change lands

# Further labelled mail, where it is there; the shipped corpus is always part of it.
DATA ?= $(wildcard ../shared/data)

model: $(VENV)/installed  ## train the shipped model anew (five minutes; DATA=FOLDER for further mail)
	$(BIN)/raincheck model train $(foreach folder,$(DATA),--data $(folder)) --out classifier/models

bench: $(VENV)/installed-dev  ## messages a second against Postfix; milliseconds a judgement
	$(BIN)/python benchmarks/relay.py
	$(BIN)/python benchmarks/judging.py

lock:  ## write the lock files anew from pyproject.toml (needs uv)
	$(COMPILE) pyproject.toml -o requirements.lock
	$(COMPILE) --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	sed -n 's/^requires = \["\(.*\)"\]/\1/p' pyproject.toml | $(COMPILE) - -o requirements-build.lock

clean:  ## remove the environment and caches; mail and state under var/ stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info

$(VENV)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Raincheck needs Python 3.11 or newer; name one: make run PYTHON=python3.12" >&2; exit 78; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
	  then apt-get update -q && apt-get install -q -y python3-venv && $(PYTHON) -m venv $(VENV); \
	  else echo "This Python cannot make environments. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 69; fi; }
	@touch $@

$(VENV)/installed: requirements-build.lock requirements.lock pyproject.toml | $(VENV)/python
	@echo "Setting up .venv (once; a minute or two) …"
	@$(PIP) --require-hashes -r requirements-build.lock
	@$(PIP) $(BUILD) --require-hashes -r requirements.lock
	@$(PIP) $(BUILD) --no-deps -e .
	@touch $@

$(VENV)/installed-dev: requirements-dev.lock $(VENV)/installed
	@$(PIP) $(BUILD) --require-hashes -r requirements-dev.lock
	@touch $@
