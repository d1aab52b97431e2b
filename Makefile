# Every target makes its own environment in .venv when there is none; nothing else is needed than
# a supported Python and make. Another interpreter: make test PYTHON=python3.12
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help setup demo test walks faults lint types bench check

help:
	@echo "make setup   install into $(VENV), with the tested versions of constraints.txt"
	@echo "make demo    run the whole way on synthetic images, in some minutes"
	@echo "make test    run the whole test suite"
	@echo "make walks   thirty random walks of edits through a cohort (make test makes one)"
	@echo "make faults  kills, failing disks and damaged inputs at every verb (make test tries a sample)"
	@echo "make lint    check style and format (ruff)"
	@echo "make types   check types (mypy, strict)"
	@echo "make check   lint, types and test"
	@echo "make bench   measure speed beside stock nnU-Net"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -e '.[dev]' -c constraints.txt
	@touch $@

demo: $(STAMP)
	$(BIN)/nnunet_pst demo demo

# The host's default of 8 processes would spend its time importing torch. Two tests at a time; waiting
# threads that spin would take the cores from each other (docs/decisions/0036). pytest, not
# `python -m pytest`: that would put the checkout on sys.path, where the wheel's tests must not
# find it.
test: $(STAMP)
	OMP_WAIT_POLICY=PASSIVE nnUNet_def_n_proc=2 $(BIN)/pytest -n 2 --dist loadfile

walks: $(STAMP)
	NNUNET_PST_WALKS=30 nnUNet_def_n_proc=2 $(BIN)/pytest tests/golden/test_edited_cohorts.py

faults: $(STAMP)
	NNUNET_PST_FAULTS=200 NNUNET_PST_DAMAGES=2000 nnUNet_def_n_proc=2 $(BIN)/pytest tests/faults

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python benchmarks/run.py

check: lint types test
