# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers

# `make demo` and `make test` set up everything they need in .venv and then run.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
# What is imported is compiled then, not all of what is installed: that takes half a minute.
INSTALL := $(PIP) install --no-compile
PINS   := --constraint constraints.txt

# Third-party data for tests and experiments (see docs/data.md); tests that need it are skipped
# where it is not there.
export AXYNQ_DATA ?= $(wildcard $(CURDIR)/../shared/data)

.PHONY: demo test test-fast test-slow test-thorough test-matrix coverage lint format types generate check-generated \
        characterise figures notebooks docs docs-serve check-arm dist check-packaging fuzz clean

demo: $(VENV)/.demo
	$(BIN)/axynq demo

# Fast and slow tests in one go: they share what takes long to set up.
test: $(VENV)/.dev lint
	$(BIN)/python -m pytest -n auto -m "not thorough"

test-fast: $(VENV)/.dev lint
	$(BIN)/python -m pytest -n auto -m "not slow and not thorough"

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto -m "slow and not thorough"

# More of what the others show, on more overlays, plans and networks. Not part of `make test`: it
# takes as long again.
test-thorough: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto -m thorough

ENGINES = from axynq.emulator.engine import kernel; print(*(v.name for v in kernel.supported_variants()))

# The fast tests as on other processors: under every engine that this one has, with one and two
# threads, and with the plainest float kernels of torch. Takes as long as all of them together.
test-matrix: $(VENV)/.dev
	set -e; for engine in $$($(BIN)/python -c "$(ENGINES)") portable; do \
	  for threads in 1 2; do \
	    echo "engine $$engine, threads $$threads"; \
	    AXYNQ_ENGINE=$$engine AXYNQ_THREADS=$$threads OMP_NUM_THREADS=$$threads \
	    ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 \
	    $(BIN)/python -m pytest -n auto -q -m "not slow and not thorough"; \
	  done; \
	done

# Branches that the fast and slow tests reach, in processes that they start too; at least COVERED
# percent of them in each package. Not part of `make test`: it takes a quarter longer.
COVERED := 92
coverage: $(VENV)/.dev
	rm -f .coverage .coverage.*
	$(BIN)/python -m pytest -n auto -q -m "not thorough" --cov --cov-report=
	$(BIN)/python -m tests.branches $(COVERED)

# C++ that is written by hand.
CPP = $(filter-out %/isa.hpp %/counters.hpp,$(wildcard emulator/engine/native/*.?pp hls/include/axynq/*.hpp \
        hls/include/axynq/multipliers/*.hpp hls/src/*.?pp hls/simulation/*.cpp host/netlists/*.cpp tests/arm/*.cpp \
        tests/emulator/*.cpp benchmarks/emulation/*.cpp))

lint: $(VENV)/.dev types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CPP)

types: $(VENV)/.dev
	mkdir -p build/typing/axynq
	ln -sfn $(CURDIR)/emulator build/typing/axynq/emulator
	ln -sfn $(CURDIR)/host build/typing/axynq/host
	ln -sfn $(CURDIR)/hls4ml_extension build/typing/axynq/hls4ml
	MYPYPATH=build/typing $(BIN)/mypy --num-workers auto -p axynq.emulator -p axynq.host -p axynq.hls4ml

# What boards run, on emulated ARM machines (see docs/development.md).
check-arm: $(VENV)/.dev
	$(BIN)/python -m tests.arm

# All generated files: the descriptors' C++ header, what follows from overlays and boards, the
# multipliers' netlists, golden vectors.
generate: $(VENV)/.dev
	$(BIN)/python -m axynq.host.generate

check-generated: $(VENV)/.dev
	$(BIN)/python -m axynq.host.generate --check

# What is measured on the netlists and recorded with a date: energy figures and resources of the
# overlays. Takes minutes; AXYNQ_DATA adds the figures on CIFAR-10 images.
characterise: $(VENV)/.dev
	$(BIN)/python -m axynq.host.netlists.characterise
	$(BIN)/python -m axynq.host.synthesis.costs
	$(BIN)/python -m axynq.host.synthesis.estimate

# The drawings of docs/architecture.md.
figures: $(VENV)/.dev
	$(BIN)/python docs/figures/draw.py

# The notebooks of examples/notebooks are run in place, with new outputs.
notebooks: $(VENV)/.dev
	$(BIN)/python examples/notebooks/execute.py

# The documentation as a site, in build/site; open its index.html. Broken links are errors.
export NO_MKDOCS_2_WARNING = 1

docs: $(VENV)/.dev
	$(BIN)/mkdocs build --strict

# The same at http://localhost:8000, built again whenever a page is saved.
docs-serve: $(VENV)/.dev
	$(BIN)/mkdocs serve --strict

$(VENV)/.demo: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) $(PINS) --editable ".[demo]"
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) $(PINS) --editable ".[dev]"
	touch $@ $(VENV)/.demo

# Coverage-guided fuzzing of everything that reads what users give: INPUTS for each reader.
INPUTS ?= 20000
fuzz: $(VENV)/.dev
	$(INSTALL) $(PINS) --editable ".[fuzz]"
	$(BIN)/python -m tests.fuzz --inputs $(INPUTS)

# Source distribution and wheel in dist/: the same bytes wherever and whenever they are built.
dist: $(VENV)/.dev
	$(BIN)/python -m release.dist

# Both, installed in clean environments of the Pythons that are here, and all extras resolved there.
check-packaging: $(VENV)/.dev
	$(BIN)/python -m release.check

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
