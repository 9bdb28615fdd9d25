# Two commands matter: `make demo` and `make test`. Both set up what they need and are quick the second time.
# Needed beforehand: Python 3.11 or later, git, make.

# the first that really runs: a name on PATH may be a shim without a Python behind it
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& { echo "$$python"; break; }; done)
BIN = .venv/bin
ARGS =
CODE = watchdogd tests tools bench

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help install bench bench-faults bench-tunnel duel soak demo test fast pytest lint types imports format build clean ready-for-demo ready-for-test ready-for-install

help:
	@echo 'make install  for this user, away from the checkout: ~/.local/bin/watchdogd'
	@echo 'make demo     break and heal a private server on this machine; ARGS="--keep" leaves it running'
	@echo 'make test     everything that has to pass: lint, types, imports, all tests'
	@echo 'make fast     the tests of decisions and single modules, 20 s; ARGS="-k name" picks some'
	@echo 'make pytest   all tests; ARGS as above'
	@echo 'make bench    figures beside their opponents, 12 min; ARGS="link version" picks some; needs autossh'
	@echo 'make bench-faults  tunnel keepers side by side under 35 faults, 40 min or more; ARGS="--only reset,hole_this" picks some'
	@echo 'make bench-tunnel  the tunnel beside ssh -L and autossh; ARGS="--only throughput", ARGS="--quick" less; needs autossh'
	@echo 'make duel     1,100 simulated months beside what people use today, 15 to 30 min; ARGS="--runs 20 --other-runs 5" less'
	@echo 'make soak     a million rounds of random faults, then an hour of transfers over links that are broken; ARGS="--rounds 20000" or ARGS="--minutes 1" only the one, and less'
	@echo 'make lint     ruff: rules and format      make format   let ruff mend what it can'
	@echo 'make types    mypy, strict                make imports  who may import whom'
	@echo 'make build    a wheel in dist/            make clean    remove all that was made here'

ready-for-demo ready-for-test ready-for-install: ready-for-%:
	@python="$(PYTHON)"; test -n "$$python" || { echo 'make: no Python 3.11 or later found (tried python3, python3.14 to python3.11)' >&2; exit 1; }; \
	"$$python" tools/setup.py $*

install: ready-for-install

demo: ready-for-demo
	@$(BIN)/watchdogd demo $(ARGS)

# all four run, whatever fails, and pytest's summary is the last to be seen
test: ready-for-test
	@$(MAKE) --no-print-directory --keep-going lint types imports pytest

pytest: ready-for-test
	@$(BIN)/python -m pytest $(ARGS)

fast: ready-for-test
	@$(BIN)/python -m pytest -q tests/core tests/unit $(ARGS)

bench: ready-for-test
	@$(BIN)/python -m bench $(ARGS)

bench-faults: ready-for-test
	@$(BIN)/python -m bench.link_faults $(ARGS)

bench-tunnel: ready-for-test
	@$(BIN)/python -m bench.tunnel $(ARGS)

duel: ready-for-test
	@$(BIN)/python -m bench.duel $(ARGS)

soak: ready-for-test
	@$(BIN)/python -m bench.soak $(ARGS)

lint: ready-for-test
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)

types: ready-for-test
	@$(BIN)/mypy

imports: ready-for-test
	@$(BIN)/lint-imports

format: ready-for-test
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/ruff format $(CODE)

build: ready-for-test
	@$(BIN)/python -m pip --disable-pip-version-check wheel -q --no-deps --wheel-dir dist .

clean:
	rm -rf .venv .cache build dist watchdogd.egg-info .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
