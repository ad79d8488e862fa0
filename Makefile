# Each target prepares what it needs by itself: uv, the environment, and (for tests) Debian's Chromium.
PYTHON ?= python3
BOOT = @$(PYTHON) tools/bootstrap.py

.PHONY: help demo up test test-long check fix screenshots clean
help: ## what can be made
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z%-]+):.*## /\1\t/' | expand -t 14

demo: ## start Spanledger with stand-in models and sample traffic; Ctrl-C stops it
	$(BOOT) -- spanledger up --demo

up: ## start Spanledger; Ctrl-C stops it
	$(BOOT) -- spanledger up

test: ## format, lint, import contracts, types, all tests
	$(BOOT) --dev -- python tools/check.py

test-long: ## the tests that take minutes: real workers, judges, validators
	$(BOOT) --dev -- python tools/check.py --long

check: ## the same without tests
	$(BOOT) --dev -- python tools/check.py --static

fix: ## format, and repair what the linter can
	$(BOOT) --dev -- sh -c 'ruff check --fix . ; ruff format .'

bench-%: ## run one benchmark of tests/benchmarks, as in bench-gateway
	$(BOOT) --dev -- python -m tests.benchmarks.$*

screenshots: ## make docs/screenshots anew from the demo
	$(BOOT) --dev -- python tools/screenshots.py

clean: ## remove the environment and caches
	rm -rf .venv .uv .pytest_cache .ruff_cache .import_linter_cache .hypothesis
