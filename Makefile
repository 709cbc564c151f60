# One command each on a fresh machine with Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_FLAGS ?=
PYTEST_FLAGS ?=
IN_PARALLEL := -n auto --maxprocesses 4 --dist loadgroup

.PHONY: demo test coverage check bench soak chaos clean

$(VENV)/.run: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.devices: $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[usb,ble,pump-ble]'
	touch $@

$(VENV)/.dev: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@ $(VENV)/.run $(VENV)/.devices

demo: $(VENV)/.run $(if $(findstring --device,$(DEMO_FLAGS)),$(VENV)/.devices)
	$(BIN)/glucobridge demo $(DEMO_FLAGS)

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(IN_PARALLEL) $(PYTEST_FLAGS)

# The same with coverage shown; tracing makes it about twice as slow.
coverage: $(VENV)/.dev
	$(BIN)/python -m pytest $(IN_PARALLEL) --cov --cov-report=term $(PYTEST_FLAGS)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

soak: $(VENV)/.dev
	GLUCOBRIDGE_PROOF=long $(BIN)/python -m pytest -m proof -s --timeout=7200 $(PYTEST_FLAGS)

chaos: $(VENV)/.dev
	GLUCOBRIDGE_CHAOS=1 GLUCOBRIDGE_PROOF=long $(BIN)/python -m pytest tests/chaos -s --timeout=21600 $(PYTEST_FLAGS)

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage dist build
