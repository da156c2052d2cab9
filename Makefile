# The commands of this project. Everything runs in .venv, which make builds itself.
#
#   make run     the demo plant, simulated, on opc.tcp://127.0.0.1:4840
#   make test    the gate: format, lint, types, every test (long ones as a seeded tenth)
#   make soak    the same tests with their full counts
#   make bench   the benchmarks
#   make lint    format, lint and types only
#   make test-next   the seams and the server's tests with the newest asyncua; may fail, and says what to look at
#   make clean   caches and builds (make distclean: the environments too)
#
# Variables: PYTHON (3.11 or newer), SYSTEM_DEPS=no (install no Debian package), CI=true (a missing tool fails
# its tests instead of skipping them), GRIDNODE_SEED (seed of the random tests), ARGS (further words for pytest).

.PHONY: run test test-next soak bench lint fmt venv system-deps node-client node-peer clean distclean
.DEFAULT_GOAL := test

VENV := .venv
BIN := $(VENV)/bin
NEXT := .venv-next
STAMP := $(VENV)/.installed
NODE_CLIENT := tests/e2e/node_client
NODE_STAMP := $(NODE_CLIENT)/node_modules/.installed
NODE_PEER := benchmarks/peers/node_opcua
NODE_PEER_STAMP := $(NODE_PEER)/node_modules/.installed

# The newest Python from 3.13 to 3.11, else any python3 that is new enough.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then echo $$p; break; fi; done)

run: $(STAMP)
	$(BIN)/gridnode run examples/demo.yaml $(ARGS)

test: $(STAMP) system-deps lint node-client
	$(BIN)/python -m pytest $(ARGS)

soak: $(STAMP) system-deps node-client
	GRIDNODE_SOAK=1 $(BIN)/python -m pytest -o timeout=7200 $(ARGS)

# An environment of its own, so that the pinned version stays what everything else runs with.
test-next: $(STAMP)
	test -x $(NEXT)/bin/python || $(PYTHON) -m venv $(NEXT)
	grep -v '^asyncua==' constraints.txt > $(NEXT)/constraints.txt
	$(NEXT)/bin/python -m pip install --quiet --disable-pip-version-check -c $(NEXT)/constraints.txt -e '.[dev]'
	$(NEXT)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --pre asyncua
	-$(NEXT)/bin/python -m pytest -p no:cacheprovider --override-ini=filterwarnings= \
		tests/node/server $(wildcard tests/e2e/test_server*.py tests/e2e/test_security*.py) $(ARGS)

bench: $(STAMP) system-deps node-peer
	$(BIN)/python -m benchmarks $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

fmt: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@if [ -z "$(PYTHON)" ]; then \
		echo "gridnode needs Python 3.11 or newer; none of python3.13, python3.12, python3.11, python3 is." >&2; \
		echo "Install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; fi
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "gridnode needs Python 3.11 or newer; $(PYTHON) is not." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || tests/system_deps.sh python3-venv || true
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make a virtual environment (module ensurepip is missing)." >&2; \
		echo "On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

system-deps:
	@tests/system_deps.sh

# Without npm, or without its registry, the tests of the foreign client say why they skip (or fail, with CI=true).
node-client: system-deps
	@if command -v npm >/dev/null 2>&1; then $(MAKE) --no-print-directory $(NODE_STAMP) || [ "$${CI:-}" != true ]; \
	else echo "npm is not installed: the tests with a foreign client will say so"; fi

$(NODE_STAMP): $(NODE_CLIENT)/package.json $(NODE_CLIENT)/package-lock.json $(NODE_CLIENT)/.npmrc
	cd $(NODE_CLIENT) && npm ci --loglevel=error
	@touch $@

# The server that benchmarks compare with; without it they say what is not compared.
node-peer: system-deps
	@if command -v npm >/dev/null 2>&1; then $(MAKE) --no-print-directory $(NODE_PEER_STAMP); \
	else echo "npm is not installed: the benchmarks will not compare with node-opcua"; fi

$(NODE_PEER_STAMP): $(NODE_PEER)/package.json $(NODE_PEER)/package-lock.json $(NODE_PEER)/.npmrc
	cd $(NODE_PEER) && npm ci --loglevel=error
	@touch $@

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage htmlcov
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) $(NEXT) $(NODE_CLIENT)/node_modules $(NODE_PEER)/node_modules
