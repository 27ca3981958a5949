# `make demo` and `make test` set up everything they need in .venv and then run.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
PINS   := --constraint constraints.txt

# Third-party data for tests and experiments (see docs/data.md); tests that need it are skipped
# where it is not there.
export AXYNQ_DATA ?= $(wildcard $(CURDIR)/../shared/data)

.PHONY: demo test lint generate check-arm clean

demo: $(VENV)/.demo
	$(BIN)/axynq demo

# Fast tests first, then slow ones; both on all cores.
test: $(VENV)/.dev lint
	$(BIN)/python -m pytest -n auto -m "not slow"
	$(BIN)/python -m pytest -n auto -m slow

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p build/typing/axynq
	ln -sfn $(CURDIR)/emulator build/typing/axynq/emulator
	ln -sfn $(CURDIR)/host build/typing/axynq/host
	MYPYPATH=build/typing $(BIN)/mypy -p axynq.emulator -p axynq.host

# What boards run, on emulated ARM machines (see docs/development.md).
check-arm: $(VENV)/.dev
	$(BIN)/python -m tests.arm

# Files that follow from hls/overlays/*.toml and host/isa.py.
generate: $(VENV)/.dev
	$(BIN)/python -m axynq.host.generate

$(VENV)/.demo: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install $(PINS) --editable ".[demo]"
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install $(PINS) --editable ".[dev]"
	touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
