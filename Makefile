# `make demo` and `make test` need nothing but this checkout: each sets up what is missing first.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.ready

.PHONY: setup demo test test-debian-kernel lint bench bench-kernel-module clean
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

# The kernel datapath on Debian's kernel 6.1, in an emulated machine; `make test` does not wait for it.
DEBIAN_KERNEL ?= ../shared/vm/debian-kernel
test-debian-kernel: setup
	@test -x $(DEBIAN_KERNEL) || { echo "$(DEBIAN_KERNEL) is not there; say DEBIAN_KERNEL=COMMAND" >&2; exit 1; }
	$(DEBIAN_KERNEL) --timeout 7200 -- env TEST_PATIENCE=8 $(VENV)/bin/python -m pytest --timeout 900 \
	    tests/system/test_bpf_parts.py tests/system/test_bpf_switch.py tests/system/test_protected_tunnels.py

bench: setup
	$(VENV)/bin/python -m bench

# Beside the original's kernel module, where counted instructions are the time (docs/benchmarks.md).
bench-kernel-module: setup
	$(DEBIAN_KERNEL) --icount --uptime 10 --timeout 3000 -- env TEST_PATIENCE=20 $(VENV)/bin/python -m bench.kernel_module

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis
