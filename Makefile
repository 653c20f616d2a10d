# make quickstart | notebooks | weights | test | test-latest | lint | clean      (another interpreter: make PYTHON=python3.11 test)

PYTHON ?= python3
EXTRAS := dev,synth,rooms,export,notebooks
DECLARED := setup.cfg pyproject.toml constraints.txt
ARGS ?=
# One process for each of two cores; `make PARALLEL= test` for one process that a debugger can enter.
PARALLEL ?= --numprocesses=2 --dist=loadfile --no-loadscope-reorder

SUPPORTED := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 13))
VERSION := import sys; print("Python %d.%d.%d" % sys.version_info[:3])

.PHONY: quickstart notebooks weights test test-latest lint clean

quickstart: .venv/installed
	.venv/bin/adml quickstart $(ARGS)

# The notebooks themselves stay without outputs; ARGS may name some of them.
notebooks: .venv/installed
	mkdir -p runs/notebooks
	.venv/bin/jupyter-execute --kernel_name=python3 --timeout=3600 \
	  --output='../runs/notebooks/{notebook_name}.ipynb' $(or $(ARGS),$(wildcard notebooks/*.ipynb))

# Puts a run into the package: make weights RUN=runs/spotting_more [CHECKPOINT=best]; see CONTRIBUTING.md.
CHECKPOINT ?= latest
PACKAGE := import sys; from adml.package_weights import package_weights; print(package_weights(*sys.argv[1:]))
weights: .venv/installed
	.venv/bin/python -c '$(PACKAGE)' $(RUN) $(CHECKPOINT)

test: .venv/installed
	.venv/bin/python -m pytest $(PARALLEL) $(ARGS)

test-latest: .venv-latest/installed
	.venv-latest/bin/python -m pytest $(PARALLEL) $(ARGS)

lint: .venv/installed
	.venv/bin/ruff check adml tests

clean:
	rm -rf .venv .venv-latest build dist *.egg-info .pytest_cache .ruff_cache
	find adml tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last, so a broken installation is taken up again and a good one is left alone.
.venv/installed: $(DECLARED)
	@$(call make_environment,.venv)
	.venv/bin/python -m pip install --quiet -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

.venv-latest/installed: $(DECLARED)
	@$(call make_environment,.venv-latest)
	.venv-latest/bin/python -m pip install --quiet -e '.[$(EXTRAS)]' 'tensorflow==2.21.*' 'tf_keras==2.21.*'
	@touch $@

define make_environment
command -v $(PYTHON) >/dev/null || \
  { echo "adml needs Python 3.10, 3.11 or 3.12, and '$(PYTHON)' is not installed; name one as in: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }; \
$(PYTHON) -c '$(SUPPORTED)' || \
  { echo "adml needs Python 3.10, 3.11 or 3.12, and '$(PYTHON)' is $$($(PYTHON) -c '$(VERSION)'); name another as in: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }; \
test -x $(1)/bin/python || { echo "Making $(1) and installing into it; this takes some minutes." >&2; $(PYTHON) -m venv $(1); }
endef
