# Every target sets up what it needs in .venv; `make help` lists them.

# The first interpreter here that is new enough; choose another with `make PYTHON=...`.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PIP_FLAGS ?= -qq
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYSIDE := .venv-pyside

# Widgets are tested in a real window, so a machine without a screen needs a virtual one.
ifeq ($(shell uname -s)$(DISPLAY),Linux)
XVFB := xvfb-run -a -s "-screen 0 1400x900x24 +extension GLX"
endif

.PHONY: help setup system demo test test-slow test-pyside lint format types wheel docs docs-screenshots constraints clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 20

setup: $(STAMP) ## Make .venv with everything that the other targets need

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and none was found; install it, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Installing into $(VENV); the first time takes a few minutes"
	@test -x $(BIN)/pip || "$(PYTHON)" -m venv $(VENV)
	@$(BIN)/python -m pip install $(PIP_FLAGS) --upgrade --constraint constraints.txt pip
	@$(BIN)/python -m pip install $(PIP_FLAGS) --constraint constraints.txt --editable '.[all]' --group dev
	@touch $@

system: $(STAMP)
	@$(BIN)/python tools/system_packages.py $(if $(DISPLAY),--no-xvfb)

demo: $(STAMP) ## Fuse a sample pair: in napari, or without a window on a machine without a display
	@if [ -n "$$DISPLAY" ]; then $(BIN)/python tools/system_packages.py --no-xvfb || { echo "Or run without a window: make demo ARGS=--headless" >&2; exit 1; }; fi
	$(BIN)/python -m napari_specfusion demo $(ARGS)

# As many processes as cores, up to four, each with one thread; a file's tests stay together.
test: system ## Run the tests (ARGS=... goes to pytest; ARGS="-n 0" takes one process)
	OMP_NUM_THREADS=1 $(XVFB) $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

test-slow: system ## Run the slow tests
	$(XVFB) $(BIN)/python -m pytest -m slow $(ARGS) || [ $$? = 5 ] # 5: there are none

test-pyside: system $(PYSIDE)/.installed ## Test the widgets with PySide6 in place of PyQt6, in .venv-pyside
	QT_API=pyside6 PYTEST_QT_API=pyside6 OMP_NUM_THREADS=1 $(XVFB) $(PYSIDE)/bin/python -m pytest tests/widgets $(ARGS)

$(PYSIDE)/.installed: pyproject.toml constraints.txt
	@echo "Installing into $(PYSIDE); the first time takes a few minutes"
	@test -x $(PYSIDE)/bin/pip || "$(PYTHON)" -m venv $(PYSIDE)
	@$(PYSIDE)/bin/python -m pip install $(PIP_FLAGS) --upgrade --constraint constraints.txt pip
	@$(PYSIDE)/bin/python -m pip install $(PIP_FLAGS) --constraint constraints.txt \
		--editable '.[cluster,geo,hdf,plot]' --group pyside --group test
	@touch $@

lint: $(STAMP) ## Check style and imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

format: $(STAMP) ## Fix style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP) ## Check types, including those on Windows
	$(BIN)/mypy
	$(BIN)/mypy --platform win32 --no-warn-unreachable --cache-dir .mypy_cache/windows

wheel: $(STAMP) ## Build the wheel and use it in an empty environment without extras
	$(BIN)/python tools/smoke_wheel.py

docs: $(STAMP) ## Build the documentation as a site in docs/_build; a warning is an error
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

docs-screenshots: system ## Make the pictures, the clip and the figures of the documentation again
	$(XVFB) $(BIN)/python docs/screenshots.py
	$(XVFB) $(BIN)/python docs/clip.py
	$(BIN)/python docs/figures.py

constraints: $(STAMP) ## Pin the versions in .venv (delete the pins and run `make clean setup` first)
	@{ echo '# What the tests run with. Made by `make constraints`.'; \
	$(BIN)/python -m pip list --format=freeze --exclude-editable | sed -E 's/\+[a-z0-9.]+$$//'; } > constraints.new
	@mv constraints.new constraints.txt
	@touch $(STAMP)

clean: ## Remove .venv, .venv-pyside, the site, caches and the demo's output
	rm -rf $(VENV) $(PYSIDE) docs/_build docs/api demo-output .mypy_cache .pytest_cache .ruff_cache .hypothesis
