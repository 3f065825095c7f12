# The front door: `make help` lists what there is.
# Nothing need be prepared: any python3 with venv, and some Python 3.12 or 3.13 to be found.

SHELL := /bin/bash
.DEFAULT_GOAL := help
UV_VERSION := 0.13.9
TOOLS := .tools
UV := $(TOOLS)/uv/bin/uv
STAMP := .venv/.installed
STUDY ?= params/complete_journey.yaml
# uv brings its own certificates; behind a proxy with its own authority only the system's will do, as for pip.
export UV_SYSTEM_CERTS := 1
# Byte code must be written: without it every kernel pays seconds to import pymc.
unexport PYTHONDONTWRITEBYTECODE
unexport PYTHONPATH
unexport PYTHONHOME
unexport VIRTUAL_ENV

.PHONY: help install report test lab lock lint clean

help: ## list these targets
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## install everything that is needed, once, into .venv

report: $(STAMP) ## run the default study and say where its pages are (STUDY=params/x.yaml for another)
	.venv/bin/crmlab run $(STUDY)

test: $(STAMP) ## run the tests
	.venv/bin/python -m pytest -n 2 --dist loadgroup $(ARGS)

lab: $(STAMP) ## open the notebooks in JupyterLab
	.venv/bin/jupyter lab --notebook-dir=.

lint: $(STAMP) ## check style, imports and notebooks
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/lint-imports

lock: $(UV) ## renew requirements.lock from pyproject.toml
	$(UV) pip compile pyproject.toml --group dev --universal --generate-hashes --no-emit-index-url --python-version 3.12 \
	  --custom-compile-command "make lock" --upgrade --quiet -o requirements.lock

clean: ## remove what was installed (never reports)
	rm -rf .venv $(TOOLS)

$(UV):
	@command -v python3 >/dev/null || { echo "crmlab needs python3 with venv on PATH"; exit 2; }
	@python3 -m venv $(TOOLS)/uv && $(TOOLS)/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# A python3.12 on PATH may be a shim that fails: each candidate is tried by running it.
$(STAMP): requirements.lock pyproject.toml | $(UV)
	@for candidate in $${PYTHON:-} python3.12 python3.13 python3 $${PYENV_ROOT:-$$HOME/.pyenv}/versions/3.1[23]*/bin/python; do \
	  if $$candidate -c 'import sys, venv; sys.exit(not (3, 12) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1; then \
	    found=$$($$candidate -c 'import sys; print(sys.executable)'); break; fi; done; \
	  [ -n "$$found" ] || { echo "crmlab needs Python 3.12 or 3.13; none was found on PATH or in pyenv's versions." \
	    "Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12"; exit 2; }; \
	  $(UV) venv --quiet --clear --python "$$found" .venv
	@$(UV) pip sync --quiet --python .venv/bin/python --require-hashes requirements.lock
	@$(UV) pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
	@.venv/bin/python -m compileall -q src
	@.venv/bin/python -c "import arviz_stats, ibis.backends.duckdb, ibis.backends.postgres, IPython, ipykernel, matplotlib.pyplot, nbconvert, papermill, pandas, pymc, scipy.stats, seaborn, sklearn, statsmodels.api, crmlab"
	@touch $@
