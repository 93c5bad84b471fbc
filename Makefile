# Two commands: `make table1` runs the main job, `make test` passes the tests. Both create the environment first.
PYTHON ?= python3
CORES ?= all
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)

.PHONY: table1 test

table1: $(VENV)/lock
	snakemake --cores $(CORES) --rerun-incomplete reports/table1.md
	@cat reports/table1.md

test: $(VENV)/lock
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow/rules
	mypy
	pytest -n auto

$(VENV)/lock: workflow/envs/requirements.txt workflow/envs/without-deps.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $<
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r $(word 2,$^)
	cat $^ > $@
