# `make demo` and `make test` need nothing but this checkout: each sets up what is missing first.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.ready

.PHONY: setup demo test lint bench clean
setup: $(STAMP)

$(STAMP): pyproject.toml hatch_build.py tools/setup.sh $(wildcard src/trunkline/bpf/program/*.[ch])
	PYTHON=$(PYTHON) VENV=$(VENV) tools/setup.sh

demo: setup
	@$(VENV)/bin/trunkline demo

test: setup lint
	@PYTHON=$(PYTHON) VENV=$(VENV) tools/setup.sh test
	$(VENV)/bin/python -m pytest -n 2 --dist loadgroup

lint: setup
	$(VENV)/bin/ruff check src tests bench
	$(VENV)/bin/mypy

bench: setup
	$(VENV)/bin/python -m bench

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis
