# make report and make test each set up what they need; both are safe to repeat.
PYTHON ?= python3
BIN := .venv/bin
SPEC ?= reports/default.yml
OUT ?= reports/out

.PHONY: help report test lab bench lint strip lock clean

help:
	@echo "make report   the default report, into $(OUT)"
	@echo "make test     the tests"
	@echo "make lab      JupyterLab on notebooks/"
	@echo "make bench    the benchmarks, into BENCHMARKS.md"
	@echo "make lint     ruff and mypy"
	@echo "make strip    remove outputs from notebooks"
	@echo "make lock     resolve the lock files again"
	@echo "make clean    remove environments and output"

report:
	@$(PYTHON) tools/bootstrap.py core
	@$(BIN)/cascadelab report $(SPEC) --out $(OUT)

test:
	@$(PYTHON) tools/bootstrap.py test
	@$(BIN)/python -m pytest -n 2 tests cascadelab

lab:
	@$(PYTHON) tools/bootstrap.py lab
	@.venv-lab/bin/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) notebooks

bench:
	@$(PYTHON) tools/bootstrap.py test
	@$(BIN)/python -m benchmarks

lint:
	@$(PYTHON) tools/bootstrap.py test
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy

strip:
	@$(PYTHON) tools/bootstrap.py test
	@$(BIN)/nbstripout notebooks/*.ipynb

lock:
	@$(PYTHON) tools/bootstrap.py test
	@$(BIN)/python tools/lock.py $(BIN)/uv

clean:
	rm -rf .venv .venv-lab reports/out
