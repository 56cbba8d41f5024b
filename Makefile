# `make` lists the commands. Python 3.11 to 3.13 is all it needs: `make PYTHON=python3.12 repro` chooses one.
PYTHON ?= python3

# Make expands nothing in what a user sets, on the command line or, under these names, in the environment. Recipes take
# the values from the environment, in quotes. tests/project/test_makefile.py tries every one.
override VALUES := PYTHON JSON SET TARGET AS APPLY QUEUE JOBS STUDY REPORT IMAGE IMAGES OUT DRAW TASK AGAIN INVERT ON WORKERS \
	STAGE OFFLINE QUICK FSCK KILLS ARGS PORT DIGEST SUITE ACCEPT RESET \
	GRANT REVOKE SCOPES RATE DAYS TOKENS LOG BROWSER
# AS is also a variable of make's own, the assembler, which no user set.
override define literally
ifeq ($(origin $1),default)
override $1 :=
else ifneq ($(origin $1),undefined)
override $1 := $$(value $1)
export $1
endif
endef
override GIVEN := $(foreach each,$(.VARIABLES),$(if $(findstring command line,$(origin $(each))),$(each)))
$(foreach each,$(VALUES) $(GIVEN),$(eval $(call literally,$(each))))
$(eval $(call literally,each))

# What a user does not set: `override` goes before the command line and the environment.
override SHELL := /bin/sh
override .SHELLFLAGS := -c
override VENV := .venv
override BIN := $(VENV)/bin
override SITE := .venv-docs
override SERVING := .venv-demo
override DEMO := $(SERVING)
override MOVED :=
override STALE :=
override CURDIR := $(value CURDIR)
override PATH := $(CURDIR)/$(BIN):$(value PATH)
export PATH
export DVC_NO_ANALYTICS := 1
export RAY_USAGE_STATS_ENABLED := 0
export GX_ANALYTICS_ENABLED := False
export BENTOML_DO_NOT_TRACK := True
export ORT_DISABLE_TELEMETRY := 1
export TF_CPP_MIN_LOG_LEVEL ?= 2
# A Python that finds other modules or another seed by them does not start, or is not the one of the locks.
unexport PYTHONHOME PYTHONPATH PYTHONHASHSEED PYTHONSTARTUP

.DEFAULT_GOAL := help
.PHONY: help setup extras push pull repro report tables docs notebook quick doctor exp exps study read demo serve kubernetes token drift label forget registry test test-slow test-full bench lint typecheck format locks clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

setup: $(VENV)/.ready  ## make .venv from the locks, unless it is there

# The stamp holds the folder for which .venv was made: commands in a moved or copied .venv start an interpreter elsewhere,
# and where that interpreter was removed, the link to it starts nothing.
# A .venv without pip is of `uv sync`, and is made again too.
ifneq ($(wildcard $(VENV)/.ready),)
ifneq ($(shell test -x $(BIN)/python && cat $(VENV)/.ready),$(shell pwd -P))
override MOVED := moved
endif
endif
.PHONY: moved
moved:
	@echo "setup: $(VENV) was made for another folder, or its Python is gone; making it again" >&2
	@rm -rf $(VENV)

override EXPECT_PYTHON := @"$$PYTHON" -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "configuration: expected Python 3.11 to 3.13, found %d.%d; try make PYTHON=python3.12" % v)'

$(VENV)/.ready: requirements/bootstrap.lock requirements/dev.lock pyproject.toml $(MOVED)
	$(EXPECT_PYTHON)
	@test -x $(BIN)/python && test -x $(BIN)/pip || "$$PYTHON" -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.lock
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode requirements/dev.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@pwd -P > $@

extras: $(VENV)/.extras  ## add to .venv what DVC remotes on S3 and by SSH need, and what their tests need

# `make setup` removes them where dev.lock changed, and the next `make extras` installs them again.
$(VENV)/.extras: requirements/extras.lock $(VENV)/.ready
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode -r requirements/extras.lock
	@touch $@

# `make demo` takes .venv where that is ready. Else it makes a smaller environment, of what serving needs alone, and makes
# it anew whenever something about it changed.
ifneq ($(wildcard $(VENV)/.ready),)
ifeq ($(MOVED),)
override DEMO := $(VENV)
endif
endif
ifneq ($(wildcard $(SERVING)/.ready),)
ifneq ($(shell test -x $(SERVING)/bin/python && cat $(SERVING)/.ready),$(shell pwd -P))
override STALE := stale
endif
endif
.PHONY: stale
stale: ;

$(SERVING)/.ready: requirements/bootstrap.lock requirements/serve.lock $(STALE)
	$(EXPECT_PYTHON)
	@echo "demo: installing what serving needs into $(SERVING), some 450 MB" >&2
	@"$$PYTHON" -m venv --clear $(SERVING)
	@$(SERVING)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.lock
	@$(SERVING)/bin/uv pip install --quiet --python $(SERVING)/bin/python --require-hashes -r requirements/serve.lock
	@pwd -P > $@

repro: setup  ## run what is stale of the whole pipeline: fetch, train, compare, package (JOBS=2: stages side by side, ON=ray: on a cluster)
	@python -m pipeline.commands.repro $(if $(JOBS),--jobs="$$JOBS") $(if $(ON),--on="$$ON")

push: setup  ## push results and the run cache to the DVC remote: no machine computes again what another has
	@python -m pipeline.commands.remote --push

pull: setup  ## pull what dvc.lock records, and the run cache of all machines, from the DVC remote
	@python -m pipeline.commands.remote --pull

report: setup  ## write reports/explorer.html: the report with commit, machine, changes since the last run, champions
	@python -m pipeline.commands.report

tables: setup  ## copy the scores, the list of commands and the pictures of the run into README.md and docs/
	@python -m pipeline.commands.tables

# An environment of its own: the site needs none of the 2.5 GB of .venv, and .venv none of the site's packages.
$(SITE)/.ready: requirements/docs.lock
	$(EXPECT_PYTHON)
	@"$$PYTHON" -m venv --clear $(SITE)
	$(SITE)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/docs.lock
	@touch $@

docs: $(SITE)/.ready  ## build the docs site, and fail on broken links: open site/index.html
	@$(SITE)/bin/python -m sphinx -q -W --keep-going -b html -c docs/site -d .cache/sphinx . site
	@echo "docs: open site/index.html"

notebook: setup  ## open notebooks/reading.py in the browser: read a picture, look inside a network, compare strategies
	@marimo edit --skip-update-check notebooks/reading.py

quick: setup  ## strips and single digits alone, with less of everything, in seven minutes, as a DVC experiment: see quick/report.html
	@python -m pipeline.commands.repro --quick

doctor: setup  ## look at everything a run needs, and say what is stale and why (FSCK=1: hash every file DVC keeps)
	@python -m pipeline.commands.doctor $(if $(JSON),--json) $(if $(FSCK),--fsck)

exp: setup  ## an experiment: make exp SET="seed=1,2 budget=0.5" QUEUE=1 (TARGET=evaluate@slice, AS=name, JOBS=2; APPLY=name)
	@python -m pipeline.commands.experiment --set-param="$$SET" --target="$$TARGET" --name="$$AS" --apply="$$APPLY" $(if $(QUEUE),--queue --jobs="$${JOBS:-1}")

exps: setup  ## list the experiments of this commit, with what differs
	@python -m pipeline.commands.experiment --show

study: setup  ## run a grid or a search of experiments and tabulate it: make study STUDY=studies/NAME.yaml (JOBS=2: in the queue, ON=ray: on a cluster, REPORT=1: only the table)
	@python -m pipeline.commands.study --study="$$STUDY" $(if $(REPORT),--report) $(if $(JOBS),--jobs="$$JOBS") $(if $(ON),--on="$$ON")

read: setup  ## read your own pictures: make read IMAGE=photo.jpg (INVERT=1, JSON=1), or IMAGES=folder OUT=readings.csv (DRAW=folder, TASK=lines, AGAIN=1); IMAGES=pictures.parquet OUT=readings/ for any number (WORKERS=2, ON=ray)
	@python -m pipeline.commands.read --image="$$IMAGE" --images="$$IMAGES" --out="$$OUT" --draw="$$DRAW" --task="$$TASK" $(if $(INVERT),--invert) $(if $(JSON),--json) $(if $(AGAIN),--again) $(if $(ON),--on="$$ON") $(if $(WORKERS),--workers="$$WORKERS")

.PHONY: released packaged
released:
	@test -f release/release.json || { echo "demo: release/release.json: no such file, so no models are released here; 'git pull' may bring them, or 'make repro' trains models for 'make serve' (registry release: docs/registry.md)" >&2; exit 2; }

demo: released $(if $(filter $(SERVING),$(DEMO)),$(SERVING)/.ready)  ## serve the released models at http://127.0.0.1:3000/, in a minute from a fresh clone (PORT=3001)
	@$(DEMO)/bin/python -m pipeline.commands.demo --port="$${PORT:-3000}"

packaged:
	@ls artifacts/*/model.onnx > /dev/null 2>&1 || { echo "serve: artifacts: no packaged model; 'make demo' serves the released ones, and 'make repro' trains and packages your own" >&2; exit 2; }

# The folder of the models that are served, where it is not artifacts/ or the one that READER_ARTIFACTS names.
override SERVED := $(if $(STAGE),deploy/$$STAGE,$(if $(QUICK),quick/artifacts))

.PHONY: rehearsed either
rehearsed:
	@ls quick/artifacts/*/model.onnx > /dev/null 2>&1 || { echo "serve: quick/artifacts: no packaged model; 'make quick' trains and packages some" >&2; exit 2; }

either:
	@echo "serve: STAGE and QUICK: expected one of them" >&2; exit 2

serve: $(if $(STAGE),$(if $(QUICK),either),$(if $(QUICK),rehearsed,$(if $(filter-out undefined,$(origin READER_ARTIFACTS)),,packaged))) setup  ## serve the packaged models on port 3000 (PORT=3001); QUICK=1: those of `make quick`; STAGE=prod: the versions that are in prod (OFFLINE=1: as of the last fetch)
	@$(if $(STAGE),registry deploy $(if $(OFFLINE),--offline) -- "$$STAGE")
	@$(if $(SERVED),READER_ARTIFACTS="$$PWD/$(SERVED)" )$(if $(STAGE),READER_ROLLOUT="$$PWD/$(SERVED).rollout" )bentoml serve$(if $(PORT), --port="$$PORT")

token: setup  ## API tokens of the service: make token GRANT=ci SCOPES=read,feedback,admin RATE=600 DAYS=90 (REVOKE=ci; TOKENS=tokens.json; neither: list)
	@python -m pipeline.commands.token --file="$${TOKENS:-tokens.json}" --grant="$$GRANT" --revoke="$$REVOKE" --scopes="$${SCOPES:-read}" --per-minute="$${RATE:-600}" --days="$${DAYS:-0}"

kubernetes: setup  ## write deploy/kubernetes: a Dockerfile and manifests for the bento (IMAGE=registry.example.org/reader:TAG)
	@python -m pipeline.commands.kubernetes --image="$$IMAGE"

drift: setup  ## has what the service reads changed? Exit code 5 if so; see monitoring/drift (TASK=strips, SUITE=plain, ACCEPT=1, RESET=1)
	@python -m pipeline.commands.drift --task="$$TASK" --suite="$$SUITE" $(if $(ACCEPT),--accept) $(if $(RESET),--reset)

label: setup  ## label corrected, declined and suspected pictures on a local page, with the keyboard (TASK=mnist, LOG=folder, PORT=3101, BROWSER=0)
	@python -m pipeline.commands.label --log="$$LOG" --task="$$TASK" --port="$${PORT:-3100}" --browser="$$BROWSER"

forget: setup  ## remove every trace of a picture from the prediction log and the corrections: make forget DIGEST=..., as sha256sum prints it
	@python -m pipeline.commands.forget --digest="$$DIGEST"

registry: setup  ## versions, promotion, rollback: make registry ARGS="list"; .venv/bin/registry is the command itself
	@python -m pipeline.commands.registry --arguments="$$ARGS"

override PYTEST := python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test: setup  ## run the tests, about 8 minutes with the set-up
	@$(PYTEST)

test-slow: extras  ## run the tests that `make test` leaves out: whole pipelines, servers under load
	@$(PYTEST) -m "slow and not full"

test-full: test test-slow  ## run every test: also kills, full disks and read-only folders (KILLS=200), two hours more
	@FULL_KILLS="$$KILLS" python -m pytest -m full

bench: setup  ## compare with Keras, PyTorch and scikit-learn on an idle machine, and write docs/performance.md: about an hour
	@python -m benchmarks.bench --write

lint: setup  ## check style, layers, types, and that dvc.yaml is a valid DAG
	@ruff check . && ruff format --check .
	@lint-imports --no-logo
	@mypy
	@dvc stage list > /dev/null

typecheck: setup  ## check the types of pipeline/ and stages/
	@mypy

format: setup  ## fix style
	@ruff check --fix . && ruff format .

# pyproject.toml says what is needed, the locks which file of which version. A smaller lock is a part of dev.lock.
override LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
locks: setup  ## compile pyproject.toml to requirements/*.lock
	@$(LOCK) requirements/bootstrap.txt -o requirements/bootstrap.lock
	@$(LOCK) pyproject.toml --extra train --extra dev -o requirements/dev.lock
	@$(LOCK) pyproject.toml --extra train -c requirements/dev.lock -o requirements/pipeline.lock
	@$(LOCK) pyproject.toml --extra serve -c requirements/dev.lock -o requirements/serve.lock
	@$(LOCK) pyproject.toml --extra s3 --extra ssh --group remote-tests -c requirements/dev.lock -o requirements/extras.lock
	@$(LOCK) --group docs -o requirements/docs.lock

clean:  ## remove what the pipeline made, but not the cache of it
	@rm -rf data models calibrations exports predictions previews reports quick deploy site artifacts/*.bento artifacts/*/model.onnx artifacts/*/strategies
