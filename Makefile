# `make` lists the commands. Python 3.11 to 3.13 is all it needs: `make PYTHON=python3.12 repro` chooses one.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1
export GX_ANALYTICS_ENABLED := False
export BENTOML_DO_NOT_TRACK := True
export ORT_DISABLE_TELEMETRY := 1
export TF_CPP_MIN_LOG_LEVEL ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup doctor exp study repro quick read pages serve registry test test-full lint format locks clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

setup: $(VENV)/.ready $(BIN)/registry  ## make .venv from the locks, if it is not there

$(VENV)/.ready: requirements/bootstrap.lock requirements/dev.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "configuration: Python 3.11 to 3.13 is needed, this is %d.%d; try make PYTHON=python3.12" % v)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.lock
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode requirements/dev.lock
	@touch $@

# The project is run and not installed: this puts its one command of its own beside dvc, gto and bentoml.
$(BIN)/registry: $(VENV)/.ready
	@printf '#!/bin/sh\nexec "$$(dirname "$$0")/python" -m pipeline.registry "$$@"\n' > $@ && chmod +x $@

repro: setup  ## run what is stale of the whole pipeline: fetch, train, compare, package
	@python -m pipeline.commands.repro

pages: setup  ## bring README.md and docs/ up to the run: its leaderboard, its pictures
	@python -m pipeline.commands.docs

quick: setup  ## the same at a tenth of the training, as a DVC experiment: see quick/report.html
	@python -m pipeline.commands.repro --budget 0.1

doctor: setup  ## look at everything a run needs, and say what is stale and why
	@python -m pipeline.commands.doctor $(if $(JSON),--json)

exp: setup  ## an experiment: make exp SET="seed=1,2 budget=0.5" QUEUE=1 (TARGET=evaluate@slice, AS=name, JOBS=2; APPLY=name)
	@python -m pipeline.commands.experiment --set-param "$$SET" --target "$$TARGET" --name "$$AS" --apply "$$APPLY" $(if $(QUEUE),--queue --jobs $(or $(JOBS),1))

study: setup  ## run a grid of experiments and tabulate it: make study STUDY=studies/NAME.yaml (JOBS=2: in the queue, REPORT=1: only the table)
	@python -m pipeline.commands.study --study "$$STUDY" $(if $(REPORT),--report) $(if $(JOBS),--jobs $(JOBS))

read: setup  ## read a picture of your own: make read IMAGE=strip.png (INVERT=1: dark on light, JSON=1)
	@python -m pipeline.commands.read --image "$$IMAGE" $(if $(INVERT),--invert) $(if $(JSON),--json)

serve: setup  ## serve the packaged models on port 3000; STAGE=prod: the versions that are in prod (OFFLINE=1: as of the last fetch)
	@$(if $(STAGE),registry deploy "$$STAGE" $(if $(OFFLINE),--offline) && READER_ARTIFACTS="$(CURDIR)/deploy/$$STAGE") bentoml serve

registry: setup  ## versions, promotion, rollback: make registry ARGS="list"; .venv/bin/registry is the command itself
	@registry $(ARGS)

test: setup  ## run the tests, a quarter of an hour
	@python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-full: setup  ## every test, the slow ones too
	@python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m ""

lint: setup  ## check style, and that dvc.yaml is a sound DAG
	@ruff check . && ruff format --check .
	@dvc stage list > /dev/null

format: setup  ## mend style
	@ruff check --fix . && ruff format .

locks: setup  ## compile requirements/*.txt to *.lock
	@cd requirements && for name in bootstrap dev pipeline serve; do \
		uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
			$$([ $$name = bootstrap ] || [ $$name = dev ] || echo "-c dev.lock") $$name.txt -o $$name.lock || exit 1; done

clean:  ## remove what the pipeline made, but not the cache of it
	@rm -rf data models predictions previews reports quick deploy artifacts/*.bento artifacts/*/model.onnx
