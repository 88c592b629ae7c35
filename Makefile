# On a fresh machine: `make demo` learns a clip, `make test` checks everything.
PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS ?= 1

.PHONY: test test-slow demo lint types bench-geometry bench-worlds clean

.venv/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@

lint: .venv/.installed
	$(BIN)/ruff check epipole tests benchmarks

types: .venv/.installed
	$(BIN)/mypy

test: lint types
	$(BIN)/python -m pytest -n 2

test-slow: .venv/.installed
	$(BIN)/python -m pytest -m slow

demo: .venv/.installed
	env -u OMP_NUM_THREADS $(BIN)/epipole demo

bench-geometry: .venv/.installed
	$(BIN)/python benchmarks/geometry.py

bench-worlds: .venv/.installed
	$(BIN)/python benchmarks/worlds.py

clean:
	rm -rf .venv runs
