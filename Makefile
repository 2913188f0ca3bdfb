# `make up` and `make test` are all that a newcomer needs; CONTRIBUTING.md has the rest.
PYTHON ?= python3
PORT ?= 8080
CONFIG ?= trainer/configs/digits.json
export PORT CONFIG EXIT MIDCOURSE_HOME WANDB

.PHONY: up tensorboard test test-docker lint mnist bench bench-gpu requirements docs clean

up: .venv/installed
	@.venv/bin/python -m control_api.up

ifeq ($(WANDB),stand-in)
up: .venv/installed-dev  # the stand-in is one of the tests' programs
endif

tensorboard: .venv/installed
	@.venv/bin/midcourse tensorboard

test: .venv/installed-dev
	.venv/bin/python -m pytest -n auto --maxprocesses 4 --dist worksteal -m "not docker" $(PYTEST)

# Needs root, and Debian's packages docker.io and debootstrap; the image takes five minutes.
test-docker: .venv/installed-dev
	.venv/bin/python -m pytest -m docker $(PYTEST)

lint: .venv/installed-dev
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

mnist: .venv/installed
	@.venv/bin/python scripts/fetch_mnist.py

# A quarter of an hour, on a machine that does nothing else; benchmarks/README.md says what it means.
bench: .venv-bench/installed
	.venv-bench/bin/python -m benchmarks.all

# Under eight minutes, without network; DEVICE=cpu tries it where there is no GPU.
bench-gpu: .venv/installed
	.venv/bin/python -m benchmarks.gpu --device $(or $(DEVICE),cuda)

# requirements*.txt are compiled for every platform; see CONTRIBUTING.md.
requirements:
	scripts/compile_requirements.sh

docs: .venv/installed-dev
	.venv/bin/python scripts/write_parameters_page.py
	.venv/bin/python scripts/write_openapi.py

.venv/installed: requirements.txt scripts/install.sh
	@PYTHON=$(PYTHON) scripts/install.sh requirements.txt
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	@PYTHON=$(PYTHON) scripts/install.sh requirements-dev.txt
	@touch $@

.venv-bench/installed: .venv/installed requirements-bench.txt scripts/install_bench.sh
	@scripts/install_bench.sh
	@touch $@

clean:
	rm -rf .venv .venv-bench
