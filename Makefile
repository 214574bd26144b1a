# make study     the whole study on MixDigits: notebooks, figures, result tables, Table 2
# make test      pytest over tests/ and nbval over notebooks/, both reported; without the tests marked slow
# make test-all  the same with the slow ones, which kill processes, fill disks, wait or train large nets
# make check     ruff (rules and format) and mypy
# make lab       JupyterLab in the study's environment
# make figures   the committed pictures, tables and executed notebooks again (needs a Chrome: without, there are no pictures)
# make notebooks the committed notebooks' own outputs again, at their defaults (needs a Chrome for their pictures)
# make peers     other people's implementations, which some tests and `make bench` compare with
# make bench     time and memory of strategies, training, runs and the study, beside other people's, into figures/ (2 hours
#                alone on two cores; ALKIT_DEEPAL=folder names a checkout of DeepAL+ to measure a whole run against)
# make site      the study as a static site in build/site: notebooks, pictures, tables, the module's reference
# make clean     delete what runs left behind

# PIP: more options for pip, such as an index of your own with PyTorch's CPU builds:
#                make study PIP="--extra-index-url <address of the index>"

PYTHON ?= python3
PIP ?=
BENCHMARK ?= mixdigits
PROFILE ?= laptop
SEEDS ?= $(if $(filter mixdigits,$(BENCHMARK)),5,1)
SEED ?= 20
BIN := .venv/bin
RUN := $(BIN)/python -m alkit run
ON := -p benchmark $(BENCHMARK) -p profile $(PROFILE) -p seed $(SEED)

.PHONY: study test test-all check lab figures notebooks peers bench site clean

study: .venv/ready
	$(RUN) all $(ON) -p n_seeds $(SEEDS)
	$(BIN)/python -m alkit table --benchmark $(BENCHMARK) --profile $(PROFILE)

# notebooks run as copies at profile smoke, in a scratch folder, so that no earlier run can stand in for one that fails
TEST = failed=0; $(BIN)/python -m pytest -q -n auto $(1) tests || failed=1; \
  scratch=$$(mktemp -d) && trap "rm -rf $$scratch" EXIT && $(BIN)/python tests/smoke_notebooks.py $$scratch/copies && \
  ALKIT_RUNS=$$scratch BROWSER_PATH=none $(BIN)/python -m pytest -q -n auto --dist loadfile --nbval-lax --nbval-current-env \
  --nbval-cell-timeout 600 -p no:cacheprovider $$scratch/copies || failed=1; exit $$failed

test: .venv/ready
	$(call TEST,-m "not slow")

test-all: .venv/ready
	$(call TEST,)

check: .venv/ready
	$(BIN)/ruff check alkit tests
	$(BIN)/ruff format --check alkit tests
	$(BIN)/mypy

lab: .venv/ready
	$(BIN)/jupyter lab notebooks

figures: .venv/ready
	$(RUN) 01 02 03 04 $(ON) -p n_seeds $(SEEDS) -p publish true
	$(RUN) 05 $(ON) -p n_seeds 20 -p n_toys 20 -p publish true
	$(RUN) 06 07 09 $(ON) -p publish true
	$(BIN)/python -m alkit table --benchmark $(BENCHMARK) --profile $(PROFILE) --committed

# only outputs of cells tagged keep_output stay; counts and ids must, or nbval refuses them
STRIP := --keep-count --keep-id --extra-keys "metadata.papermill cell.metadata.papermill cell.metadata.execution metadata.language_info"

notebooks: .venv/ready
	scratch=$$(mktemp -d) && trap "rm -rf $$scratch" EXIT && export ALKIT_RUNS=$$scratch && \
	  $(BIN)/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.timeout=3600 notebooks/*.ipynb && \
	  $(BIN)/python -m alkit.study.batch.notebook_runs notebooks/*.ipynb
	$(BIN)/nbstripout $(STRIP) notebooks/*.ipynb

peers: .venv/ready
	$(BIN)/python -m pip install $(PIP) --disable-pip-version-check --quiet -r tests/peers.txt

bench: peers
	$(BIN)/python -m pip install $(PIP) --disable-pip-version-check --quiet -r tests/speed/peers.txt
	$(BIN)/python tests/speed/strategies.py
	for name in contrastive floor parts growth study; do $(BIN)/python tests/speed/$$name.py || exit 1; done
	test -z "$$ALKIT_DEEPAL" || $(BIN)/python tests/speed/al_run.py

site: .venv/ready
	$(BIN)/python -m pip install $(PIP) --disable-pip-version-check --quiet -r docs/requirements.txt
	$(BIN)/python -m sphinx -q -c docs -b html . build/site
	@echo "open build/site/index.html"

clean:
	$(BIN)/python -m alkit clean --yes

# the pins are the lines with == in environment.yml
.venv/ready: environment.yml pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "alkit needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install $(PIP) --disable-pip-version-check $$(sed -n 's/^ *- \([A-Za-z0-9_.-]*==[^ ]*\)$$/\1/p' environment.yml)
	$(BIN)/python -m pip install $(PIP) --disable-pip-version-check --no-deps --editable .
	touch $@
