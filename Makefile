# The first of these that is Python 3.11 or 3.12 makes the environment; PYTHON=... chooses another.
PYTHON ?= $(shell for p in python3 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null \
	&& echo $$p && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
EXTRAS ?=

.PHONY: setup train test test-all lint type format bench smoke docs check clean

setup: .venv/ready

.venv/ready: pyproject.toml $(wildcard constraints/*.txt)
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or 3.12 is needed; name one with PYTHON=..."; exit 2; }
	$(PYTHON) -m venv .venv
	$(PIP) install --quiet "pip>=25.1,<27"
	$(PIP) install --quiet --progress-bar off \
		--constraint constraints/python$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])').txt \
		--editable ".$(if $(EXTRAS),[$(EXTRAS)])" --group dev
	@touch $@

train: setup
	$(BIN)/python -m rlp.train cqlsac

test: setup
	$(BIN)/python -m pytest -n auto -m "not slow and not gpu"

test-all: setup
	$(BIN)/python -m pytest -n auto -m "not gpu"

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

type: setup
	$(BIN)/pyright --warnings

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup
	$(BIN)/python -m rlp.bench

smoke: setup
	$(BIN)/python -m rlp.train bc --num_updates=200 --log_every=100 --eval_every=200 --num_episodes=1 --final_episodes=1

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "the site is in site/: open site/index.html"

check: lint type test

clean:
	rm -rf .venv build site .pytest_cache .ruff_cache
