# CryptoScalp. `make demo` and `make test` set themselves up; nothing else is needed first.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test check lint unit slow fuzz bench peers up clean

PY := .venv/bin/python
CLI := $(PY) -m infra.cli.main
export PYTHON TORCH_INDEX EXTRAS

help: ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  options: TAPE=path SEED=7 MINUTES=8 (demo), ARGS=… (test, up), TORCH_INDEX=url (setup: a smaller PyTorch)"

setup: ## make .venv and .venv-triton from the pinned files
	@bash infra/setup.sh

demo: setup ## the main job on one tape; ends with a table and var/demo/report.html
	@$(CLI) demo $(if $(TAPE),--tape '$(TAPE)') $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES)) --home var/demo $(ARGS)

test: setup ## every test, real servers included
	@$(PY) -m pytest $(ARGS)

# UNIT=skip leaves the unit tests to a `make test` that follows.
check: lint $(if $(filter skip,$(UNIT)),,unit) ## lint, types, import contracts, doctests, unit tests

lint: setup
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports
	@$(PY) -m pytest --doctest-modules market features risk

unit: setup
	@$(PY) -m pytest -m 'not integration and not slow' $(ARGS)

slow: setup ## tests that wait on real clocks: watchdogs, used accounts, every venue
	@$(PY) -m pytest -m slow $(ARGS)

fuzz: setup ## decoders and books on 100,000 broken frames each (EXAMPLES=n)
	@CRYPTOSCALP_FUZZ=$(or $(EXAMPLES),100000) $(PY) -m pytest tests/market/test_codec_fuzz.py tests/market/test_book_kernel.py tests/market/test_quote_kernel.py -k fuzz

bench: peers ## every benchmark; writes benchmarks/results.json
	@$(PY) -m benchmarks

peers: setup ## what the benchmarks compare with: river, TA-Lib, NautilusTrader
	@$(PY) -c 'import river, talib, nautilus_trader' 2>/dev/null || $(PY) -m pip install -c constraints.txt -e '.[peers]'

up: setup ## Dagster, Triton, stores, exchange and paper trader, until Ctrl-C
	@exec $(CLI) up $(ARGS)

clean: ## remove environments and caches; keeps var/ and published models
	rm -rf .venv .venv-triton .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
