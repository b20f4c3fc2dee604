# Thin: the work is in Python. `make demo` and `make test` need Python 3.11 and nothing else.
PYTHON ?= python3.11
BIN := .venv/bin
# Tests wait for servers more than they compute, but a small machine runs them best one at a time.
WORKERS ?= 0
XDIST := -n $(WORKERS) --dist loadgroup --no-loadscope-reorder

SOAK_MINUTES ?= 60

.PHONY: demo soak check lint test test-random e2e bench generate lock chaos fuzz

demo: .venv/ready
	@$(BIN)/python -m demo

# The healthy demo under the production rules: exit code 1 if an alert but the Watchdog fires or is pending at the end.
soak: .venv/ready
	@$(BIN)/python -m demo --soak $(SOAK_MINUTES) </dev/null

# Static checks and the tests that need no server, on every core: under a minute.
check: lint
	@$(BIN)/python -m pytest -m "not server and not e2e" --ignore=tests/e2e -n $$(nproc) --dist loadgroup

# Style and complexity, format, import contracts, dead code, declared dependencies, repetition, types.
lint: .venv/ready
	@$(BIN)/ruff check -q .
	@$(BIN)/ruff format -q --check .
	@$(BIN)/lint-imports >/dev/null || $(BIN)/lint-imports
	@$(BIN)/vulture
	@$(BIN)/deptry --no-ansi exporter 2>/dev/null || $(BIN)/deptry exporter
	@$(BIN)/jscpd --no-colors >/dev/null || $(BIN)/jscpd
	@$(BIN)/python -m mypy

test: lint
	@$(BIN)/python -m servers
	@$(BIN)/python -m pytest -m "not e2e" $(XDIST)

# The same tests in a random order: files, and the tests of each file. `make test-random SEED=1` repeats an order.
SEED ?= $(shell date +%s)
test-random: .venv/ready
	@echo "SEED=$(SEED)"
	@$(BIN)/python -m servers
	@$(BIN)/python -m pytest -m "not e2e" -p randomly --randomly-seed=$(SEED) $(XDIST)

# The product as its users start it: wheel, image, Compose, pods, documentation.
e2e: .venv/ready
	@$(BIN)/python -m servers --e2e
	@$(BIN)/python -m pytest -m e2e $(XDIST)

# The hypothesis tests with many more examples: about ten minutes with EXAMPLES=2000. A failing example is kept in .hypothesis
# and is the first one of every later run, `make test` included.
EXAMPLES ?= 2000
fuzz: .venv/ready
	@EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -m "hypothesis and not server and not e2e" --hypothesis-profile=fuzz $(XDIST)

# Ten minutes of random faults, hostile clients and hostile events; SEED repeats a run.
chaos: .venv/ready
	@$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(SECONDS),--seconds $(SECONDS))

bench: .venv/ready
	@$(BIN)/python -m benchmarks

generate: .venv/ready
	@$(BIN)/python -m exporter.manual > exporter/help.txt
	@$(BIN)/python -m exporter.manual man > docs/fleet-exporter.1
	@$(BIN)/fleet-exporter metrics > docs/metrics.md
	@$(BIN)/fleet-exporter options > docs/configuration.md
	@$(BIN)/fleet-exporter schema > docs/configuration.schema.json
	@$(BIN)/python -m exporter.reference.chart_schema > deploy/helm/values.schema.json
	@$(BIN)/python -m alerts > deploy/helm/files/alerts.yaml
	@$(BIN)/python -m alerts --reference > docs/alerts.md
	@$(BIN)/python -m alerts --runbooks docs/runbooks
	@$(BIN)/python -m alerts.alertmanager > deploy/helm/files/alertmanager.yaml
	@$(BIN)/python -m alerts.alertmanager --template > deploy/helm/files/slack.tmpl
	@$(BIN)/python -m alerts.alertmanager --resource > deploy/helm/files/alertmanagerconfig.yaml
	@$(BIN)/python -m dashboards deploy/helm/files/dashboards
	@$(BIN)/python -m dashboards --reference > docs/dashboards.md
	@$(BIN)/python -m dashboards --essential > exporter/essential.txt

# Hashes pin every package; a changed lock or pyproject.toml renews the environment. uv installs in seconds; pip, which takes a
# minute, is for a site whose package index is only in pip's configuration.
.venv/ready: requirements.lock pyproject.toml
	@echo "Creating the environment in .venv"
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || [ "$$(id -u)" != 0 ] || \
		{ apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q python3.11-venv; } >/dev/null 2>&1 || true
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
		{ echo "$(PYTHON) has no venv module: install it as root with 'apt-get install python3.11-venv'" >&2; exit 1; }
	@$(PYTHON) -m venv .venv
	@awk '/^uv==/, !/\\$$/' requirements.lock >.venv/uv.lock
	@$(BIN)/python -m pip install -q --require-hashes -r .venv/uv.lock
	@$(BIN)/python -m uv pip install -q --system-certs --require-hashes -r requirements.lock 2>/dev/null || \
		$(BIN)/python -m pip install -q --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch .venv/ready

COMPILE = $(BIN)/python -m uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header

# The image has fewer packages, of the same versions.
lock:
	@$(COMPILE) --group dev pyproject.toml -o requirements.lock
	@$(COMPILE) --extra grpc -c requirements.lock pyproject.toml -o requirements.runtime.lock
	@$(COMPILE) --group pyproject.toml:build -c requirements.lock -o requirements.build.lock
