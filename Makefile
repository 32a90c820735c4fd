# One-word commands. They need Python 3.11 or newer, make, and (for `setup`) a package index.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
LOWEST := .venv-lowest
# Two to four processes, each with one thread: tiny models gain nothing from more. A process that is done takes tests from
# the others, the last of their files first, so that what a file's tests share is seldom made twice.
CORES := $(shell $(PYTHON) -c "import os; print(min(4, max(2, os.cpu_count() or 2)))")
TESTS ?=
PYTEST := -m pytest -n $(CORES) --dist worksteal $(TESTS)

.PHONY: setup demo test test-lowest test-kernels check docs lock towers parity families joins compare fuzz storm

setup: $(STAMP)

$(STAMP): pyproject.toml requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable '.[dev]'
	touch $@

demo: setup
	$(BIN)/modalink demo

# All of them, or some: make test TESTS=tests/prompts
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST)

# The same with the kernels of old CPUs, which round otherwise: what passes here has no tolerance that fits one machine.
test-kernels: setup
	OMP_NUM_THREADS=1 ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_CBWR=COMPATIBLE $(BIN)/python $(PYTEST)

# The same tests with the lowest versions that pyproject.toml allows, in an environment of its own.
test-lowest:
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet uv
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct --editable '.[dev]'
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python $(PYTEST)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Damaged inputs of all kinds, for so many minutes: make fuzz MINUTES=30
MINUTES ?= 10
fuzz: setup
	$(BIN)/python tests/robustness/fuzz.py --minutes $(MINUTES)

# Runs killed at random places, so many times: make storm KILLS=100
KILLS ?= 100
storm: setup
	$(BIN)/python tests/robustness/storm.py --kills $(KILLS)

# The site, into site/; a broken link is an error.
docs: setup
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable '.[docs]'
	$(BIN)/python docs/tools/pages.py
	$(BIN)/python -m mkdocs build --strict --config-file build/mkdocs.yml

# The table of LLM families in docs/llms.md, each probed at tiny size: minutes.
families: setup
	$(BIN)/python docs/tools/llm_families.py

# The table of LLM families that carry joins in docs/joins.md: minutes.
joins: setup
	$(BIN)/python docs/tools/join_families.py

# The tables and plots of docs/compare.md: every study trained and asked, resumed where it was stopped.
STUDIES ?=
compare: setup
	$(BIN)/python docs/tools/studies.py $(STUDIES)

# The table of vision towers in docs/encoders.md: each is tried at tiny size; about six minutes of one core.
towers: setup
	$(BIN)/python docs/tools/vision_towers.py

# The tables of parity in docs/encoders.md, docs/projectors.md, docs/generators.md and docs/interop.md: every part and every
# imported model beside its reference, at tiny size.
parity: setup
	$(BIN)/python docs/tools/part_parity.py

# The tables in docs/systems.md: every shipped system counted at full size, and its tiny form trained; some 20 minutes.
systems: setup
	$(BIN)/python docs/tools/systems.py

# The drawings of docs/gallery.md; minutes.
gallery: setup
	$(BIN)/python docs/tools/gallery.py

# The tested set, from this environment: names and versions, without the packages that exist on one platform only.
lock:
	$(BIN)/python -m pip freeze --exclude-editable | grep -Ev '^(nvidia-|cuda-|triton==)' > requirements.lock
