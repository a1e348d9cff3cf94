# Everything a person or a machine runs; each target installs first, if something it depends on has changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test clean-install check coverage bench

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

demo: install
	$(BIN)/worker demo $(ARGS)

# First all that run inside a pytest process, in two of them; then the tests of real processes, which have the machine to
# themselves, two files at a time: they mostly wait. `make test ARGS=...` hands everything to one pytest instead.
test: install
ifdef ARGS
	$(BIN)/python -m pytest $(ARGS)
else
	$(BIN)/python -m pytest --ignore tests/process -n 2
	$(BIN)/python -m pytest tests/process -n 2 --dist loadfile --no-loadscope-reorder
endif

# The wheel in empty environments, one a stack, from the package index.
clean-install: install
	$(BIN)/python -m pytest tests/process/clean_install.py

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .

# Of the tests inside this process; workers that are killed write no figures.
coverage: install
	$(BIN)/python -m pytest tests/unit tests/channels tests/pipeline tests/structure -q --cov=worker --cov-report= $(ARGS)
	$(BIN)/python -m coverage json --quiet -o .coverage.json
	$(BIN)/python -m tests.support.coverage_floor .coverage.json

# make bench NAME=throughput ARGS="..."; without NAME it lists them.
bench: install
	$(BIN)/python -m bench $(or $(NAME),list) $(ARGS)
