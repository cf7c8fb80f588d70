# Two commands matter: `make demo` and `make test`. Both make .venv and install by themselves.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
NPM    := PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/npm --prefix dashboard
PAGE   := stream/page/index.html
MODULES := dashboard/node_modules/.package-lock.json
SOURCES := $(shell find dashboard -name node_modules -prune -o -type f -print)
ARGS   ?=
JOBS   ?= 3
KILLS  ?= 100
SEED   ?= 1

# Tests start hundreds of programs: with bytecode each takes a sixth less.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install demo test test-cluster test-browser check audit fuzz format bench bench-ingest bench-receivers bench-stream bench-idle bench-filters bench-slow bench-scale bench-resume bench-dashboard bench-history bench-hostile bench-retention bench-memory soak fuzz-http lock clean

help:            ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 14

$(STAMP): requirements-dev.lock pyproject.toml hatch_build.py
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "fleetwire needs Python 3.11 or newer: make PYTHON=python3.11" >&2; exit 2; }
	@echo "installing into $(VENV), once" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . >&2
	@touch $@

# The install has built the page, too; these are for who changes it.
$(MODULES): dashboard/package-lock.json | $(STAMP)
	@$(NPM) ci

$(PAGE): $(SOURCES) $(MODULES)
	@$(NPM) run --silent build >&2

install: $(PAGE) ## make .venv with everything in it

demo: $(PAGE)    ## a simulated fleet through a broker, Redis and a node, and its dashboard: make demo ARGS="--vehicles 200"
	@$(BIN)/fleetwire demo $(ARGS)

check: $(PAGE)   ## ruff (and its security rules) and mypy --strict, tsc and biome, pip check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pip check --disable-pip-version-check
	@$(NPM) run --silent check

# Three tests at a time on two cores: they wait more than they work. See pytest_collection_modifyitems for which. A
# browser that draws in software takes all cores by itself.
test: check      ## the whole suite: make test JOBS=1 for one test at a time
	@start=$$(date +%s); $(NPM) run --silent test && \
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup --no-loadscope-reorder --ignore tests/browser $(ARGS) && \
	$(BIN)/python -m pytest tests/browser $(ARGS); \
	status=$$?; echo "make test took $$(( $$(date +%s) - start )) s"; exit $$status

test-cluster: $(STAMP) ## the end-to-end tests on a Valkey Cluster of three masters
	@FLEETWIRE_TEST_STORE=cluster $(BIN)/python -m pytest -n $(JOBS) --dist loadscope tests/e2e $(ARGS)

test-browser: $(PAGE) ## the dashboard in Chromium; the screenshots' folder is printed
	@$(BIN)/python -m pytest -s tests/browser $(ARGS); status=$$?; echo "screenshots: build/screenshots"; exit $$status

audit: $(STAMP)  ## known holes in what the lock files name: asks OSV and npm, and says so when nobody answers
	@$(BIN)/python -m tests.audit

fuzz: $(STAMP)   ## a million inputs for everything that decodes: make fuzz ARGS="--inputs 100000 --target mqtt --seed 2"
	@$(BIN)/python -m tests.fuzz $(ARGS)

format: $(PAGE) ## let ruff and biome put the code in order
	$(BIN)/ruff check --fix-only --quiet . && $(BIN)/ruff format .
	@$(NPM) run --silent format

bench: $(STAMP)  ## readings/s, latency and CPU per reading through the whole pipeline
	@$(BIN)/python -m bench.pipeline $(ARGS)

bench-ingest: $(STAMP)  ## bridges compared: ours, Node's, a naive one, and what the broker delivers
	@$(BIN)/python -m bench.ingest $(ARGS)

bench-stream: $(STAMP)  ## what a delivery costs: ours beside NATS, mosquitto's WebSocket and plain Python (20 min)
	@$(BIN)/python -m bench.stream $(ARGS)

bench-idle: $(STAMP)  ## 10,000 idle connections to one node: memory, connections a second, a reading for all
	@$(BIN)/python -m bench.idle $(ARGS)

bench-filters: $(STAMP)  ## 5,000 filters over 10,000 vehicles: what it costs to match a reading
	@$(BIN)/python -m bench.filters $(ARGS)

bench-retention: $(STAMP)  ## what a retention costs Redis in memory
	@$(BIN)/python -m bench.retention $(ARGS)

bench-history: $(STAMP)  ## an hour of 1,000 vehicles in Redis, read back: readings, windows, CSV
	@$(BIN)/python -m bench.history $(ARGS)

bench-slow: $(STAMP)  ## what clients that stall or read slowly cost the others
	@$(BIN)/python -m bench.slow $(ARGS)

bench-hostile: $(STAMP)  ## a minute in which many mean no good: what those who do notice, and what memory is left
	@$(BIN)/python -m bench.hostile $(ARGS)

bench-scale: $(STAMP)  ## one, two and four nodes with the same clients: what a delivery costs
	@$(BIN)/python -m bench.scale $(ARGS)

bench-resume: $(STAMP)  ## 1,000 clients of a node that dies come back to another at once
	@$(BIN)/python -m bench.resume $(ARGS)

bench-dashboard: $(PAGE) ## 5,000 vehicles in the dashboard: main thread, heap, bytes by viewport (8 min)
	@$(BIN)/python -m bench.dashboard $(ARGS)

bench-memory: $(STAMP)  ## whether the bridge's memory stays where it is: millions of readings, Redis away
	@$(BIN)/python -m bench.memory $(ARGS)

soak: $(STAMP)   ## kill bridges, Redis and the broker under load; nothing may be lost or doubled: make soak KILLS=100 SEED=1
	@$(BIN)/python -m tests.e2e.crash --kills $(KILLS) --seed $(SEED)

fuzz-http: $(STAMP) ## schemathesis over the HTTP API of a node, for minutes: make fuzz-http ARGS="--max-examples 5000 --seed 1"
	@$(BIN)/python -m tests.stream.http_fuzz $(or $(ARGS),--max-examples 500)

bench-receivers: $(STAMP) ## MQTT receivers, ours beside mqttium and aiomqtt
	@$(BIN)/python -m bench.ingest --only codec,mqttium,aiomqtt,sink $(ARGS)

lock: $(STAMP)   ## renew the lock files from pyproject.toml (hashes, no addresses)
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --no-annotate --extra dev -o requirements-dev.lock pyproject.toml

clean:           ## remove what was made
	rm -rf $(VENV) stream/page dashboard/node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis
