# Everything a person or a machine runs; each target installs first, if something it depends on has changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# uv, where it is installed, does it in a tenth of the time.
PIP := $(if $(shell command -v uv),uv pip install --python $(BIN)/python,$(BIN)/python -m pip install --disable-pip-version-check)
IN_PROCESS := --ignore tests/process --ignore tests/browser
# Tests that try no program but compare code, documents and files to deploy with each other: a part of the check.
OF_THE_CHECKOUT := tests/structure tests/docs
# What runs inside pytest and is no part of `make test`.
APART := postgres or mariadb or programs or slow or slow_checkout

# Two database servers of the run's own, whose commits do not wait for the disk.
QUICK := $(BIN)/python -m rig.servers.quick
# Temporary folders in memory, where there is much.
MEMORY := $(BIN)/python -m rig.memory

# Tests start some hundred processes from nothing, and each would compile the whole package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo test test-all test-rest test-servers test-checkout test-python test-processes test-browser screenshots clean-install check coverage bench requirements manifests sbom dist size dashboards reference docs

install: $(VENV)/.installed-dev

NEW_ENOUGH := import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=...")

# Of one environment: the program alone for a demo (-worker), what the tests need (-test), and all that works on it (-dev).
# One that could not be made goes again: Debian's Python without python3-venv leaves one without pip.
$(VENV)/.installed-%: pyproject.toml constraints.txt
	test -x $(BIN)/python || { $(PYTHON) -c '$(NEW_ENOUGH)' && $(PYTHON) -m venv $(VENV); } || { rm -rf $(VENV); false; }
	$(PIP) --quiet -c constraints.txt -e '.[$*]'
	touch $@

demo: $(VENV)/.installed-worker
	$(BIN)/worker demo $(ARGS)

# What runs inside pytest on SQLite, in three processes for two processors: a part of it waits for threads. Each begins
# with a third of all files, so that neighbours share what they have read and started, and takes from the others at the end.
# `make test ARGS=...` hands the arguments to pytest instead.
test: $(VENV)/.installed-test
ifdef ARGS
	$(BIN)/python -m pytest $(ARGS)
else
	$(MEMORY) $(BIN)/python -m pytest $(IN_PROCESS) $(OF_THE_CHECKOUT:%=--ignore %) -n 3 --dist worksteal -m "not ($(APART))"
	@echo "Left out: tests on PostgreSQL and MariaDB, of real processes with Redis and RabbitMQ, of pages in a browser,"
	@echo "of the wheel in empty environments, and the slow ones: \`make test-all\` runs all. \`make check\` compares code,"
	@echo "documents and files to deploy with each other."
endif

test-all: check test test-rest

# All that `make test` leaves out, one after the other: whatever fills the processors beside real processes keeps these
# from their heartbeats, and then their leases lapse.
test-rest: test-servers test-checkout test-processes test-browser clean-install

# What runs inside pytest on PostgreSQL and MariaDB, or needs a program of this machine, or seconds of a processor.
test-servers: $(VENV)/.installed-test
	$(QUICK) $(BIN)/python -m pytest $(IN_PROCESS) -n 3 --dist loadfile --no-loadscope-reorder -m "postgres or mariadb or programs or slow"

# What takes long of the tests that compare code and documents: builds, type checkers, the applications of the pages.
test-checkout: $(VENV)/.installed-test
	$(BIN)/python -m pytest $(OF_THE_CHECKOUT) -n 2 --dist worksteal -m slow_checkout

# What runs inside pytest, on another Python and in an environment of its own. VERSIONS=newest takes the versions that
# pip finds, VERSIONS=lowest the floors of what a producer needs.
VERSIONS := constraints
OTHER = build/$(notdir $(PYTHON))-$(VERSIONS)
test-python:
	rm -rf $(OTHER) && $(PYTHON) -m venv $(OTHER)
	$(OTHER)/bin/python -m pip install --quiet $(if $(filter newest,$(VERSIONS)),,-c constraints.txt) -e '.[test]'
ifeq ($(VERSIONS),lowest)
	$(OTHER)/bin/python -c 'from tests.process.producer_install import floors; print(*floors())' | xargs $(OTHER)/bin/python -m pip install --quiet --no-deps
endif
	$(OTHER)/bin/python -m pytest $(or $(ARGS),$(IN_PROCESS) -n 4)

# In four processes for two processors: most of these tests wait, for leases that lapse and services that come back.
test-processes: $(VENV)/.installed-test
	$(QUICK) $(BIN)/python -m pytest tests/process -n 4 --dist loadfile --no-loadscope-reorder

# Pages in a real Chromium, in three processes for two processors: each waits for its browser. SITE names the folder of
# what `make docs` has built; without it each process that needs the site builds it.
test-browser: $(VENV)/.installed-test
	$(BIN)/python -m pytest tests/browser -n 3 --dist $(if $(SITE),worksteal,loadfile)

# Of the tests inside this process that need no server: figures make them slower by half. Workers that are killed write none.
coverage: $(VENV)/.installed-test
	$(BIN)/python -m pytest $(IN_PROCESS) -n 4 -m "not (postgres or mariadb or programs)" --cov=worker --cov=worker_simulator --cov-report= $(ARGS)
	$(BIN)/python -m coverage json --quiet -o .coverage.json
	$(BIN)/python -m tools.coverage_floor .coverage.json

INSTALLS := newcomers_install clean_install image_steps producer_install

# The wheel in empty environments, one a stack, alone with the lowest and the newest versions, and the steps of the image, from the package index.
clean-install: install
	$(BIN)/python -m pytest $(INSTALLS:%=tests/process/%.py) -n 4 --dist loadfile --no-loadscope-reorder

# What the image installs, with the hash of every file, out of pyproject.toml and constraints.txt.
LOCK = build/lock/bin/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header --no-emit-options \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-annotate -c constraints.txt

requirements:
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check pip-tools
	$(LOCK) --extra all -o docker/requirements.txt pyproject.toml
	sed -i '/^# WARNING: pip install/,/^im-delivery-worker @/d' docker/requirements.txt  # extras name others of this very project
	$(LOCK) --only-build-deps --build-deps-for wheel -o docker/build-requirements.txt pyproject.toml

# deploy/kubernetes out of the Helm chart.
manifests: install
	$(BIN)/python -m tools.manifests

# What the image is made of, as CycloneDX: its environment, installed anew from the hashes, and this project.
sbom: install
	rm -rf build/image && $(PYTHON) -m venv --without-pip build/image
	$(BIN)/python -m pip --python build/image/bin/python install --quiet --require-hashes --no-deps -r docker/requirements.txt
	$(BIN)/python -m pip --python build/image/bin/python install --quiet --no-deps .
	mkdir -p dist
	$(BIN)/cyclonedx-py environment --output-reproducible --output-format JSON -o dist/sbom.cdx.json build/image/bin/python

# Wheel and sdist, the same bytes for the same commit and Python wherever they are built; the SBOM beside them.
dist: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)
dist: install
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist .
	$(MAKE) sbom
	cd dist && sha256sum *.whl *.tar.gz *.json | tee SHA256SUMS

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/python -m tools.prose worker worker_simulator docs docs/recipes
	$(BIN)/python -m pytest $(OF_THE_CHECKOUT) -n 2 --dist worksteal -m "not ($(APART))"
	$(BIN)/hadolint docker/Dockerfile docker/application/Dockerfile
	$(BIN)/yamllint --strict docker deploy

# make bench NAME=throughput ARGS="..."; without NAME it lists them.
bench: install
	$(BIN)/python -m bench $(or $(NAME),list) $(ARGS)

# The documentation site, in English and Chinese, into build/site; fails where a page has a broken link.
docs: install
	$(BIN)/python -m tools.site

# The documents' pictures of the inbox and the console, out of tests/browser/screenshots.py.
screenshots: install
	$(BIN)/python -m tests.browser.screenshots docs/pictures

# How large the project is: lines, files, words, what a person can say to it.
size: install
	$(BIN)/python -m tools.size

# The Grafana dashboards, out of tools/dashboards.py; a test fails where the files are older.
dashboards: install
	$(BIN)/python -m tools.dashboards

# The reference pages of docs/, out of the program; a test fails where the files are older.
reference: install
	$(BIN)/python -m tools.reference
