# Every target makes its own environment in .venv when there is none; nothing else is needed than
# a supported Python and make. Another interpreter: make test PYTHON=python3.12
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help setup demo test quick matrix walks faults lint types docs bench package check

help:
	@echo "make setup   install into $(VENV), with the tested versions of constraints.txt"
	@echo "make demo    run the whole way on synthetic images, in some minutes"
	@echo "make test    run the whole test suite"
	@echo "make quick   run the unit tests that train nothing"
	@echo "make matrix  run the fast tests with the lowest and the newest allowed versions"
	@echo "make walks   thirty random walks of edits through a cohort (make test makes one)"
	@echo "make faults  kills, failing disks and damaged inputs at every verb (make test tries a sample)"
	@echo "make lint    check style, format and spelling (ruff, codespell)"
	@echo "make types   check types (mypy, strict)"
	@echo "make docs    build the documentation into docs/_build/html"
	@echo "make package build and check wheel and source distribution, with a list of components (SBOM), into dist"
	@echo "make check   lint, types, docs and test"
	@echo "make bench   measure speed beside stock nnU-Net"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -e '.[dev,docs]' -c constraints.txt
	@touch $@

demo: $(STAMP)
	$(BIN)/nnunet_pst demo demo

# The host's default of 8 processes would spend its time importing torch. Two tests at a time; waiting
# threads that spin would take the cores from each other (docs/decisions/0036). pytest, not
# `python -m pytest`: that would put the checkout on sys.path, where the wheel's tests must not
# find it.
test: $(STAMP)
	OMP_WAIT_POLICY=PASSIVE nnUNet_def_n_proc=2 $(BIN)/pytest -n 2 --dist loadfile --durations=20

# tests/quick.txt leaves out what takes seconds although it trains nothing: registrations, bootstraps.
quick: $(STAMP)
	OMP_WAIT_POLICY=PASSIVE nnUNet_def_n_proc=2 $(BIN)/pytest -n 2 --dist loadfile -m "not slow" @tests/quick.txt tests/unit

# Two more environments in build/matrix. Versions of today's environment are another matter: make test.
matrix:
	PYTHON=$(PYTHON) .ci/matrix

walks: $(STAMP)
	NNUNET_PST_WALKS=30 nnUNet_def_n_proc=2 $(BIN)/pytest tests/golden/test_edited_cohorts.py

faults: $(STAMP)
	NNUNET_PST_FAULTS=200 NNUNET_PST_DAMAGES=2000 nnUNet_def_n_proc=2 $(BIN)/pytest tests/faults

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

types: $(STAMP)
	$(BIN)/mypy

# -W: a broken link, a missing picture or an unlisted page is an error. Nothing is fetched.
docs: $(STAMP)
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

package: $(STAMP)
	$(BIN)/python -m pip install --disable-pip-version-check -q '.[release]' -c constraints.txt
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python -m cyclonedx_py environment --pyproject pyproject.toml -o dist/sbom.cdx.json $(BIN)/python

bench: $(STAMP)
	$(BIN)/python benchmarks/run.py

check: lint types docs test
