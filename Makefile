.DEFAULT_GOAL := help
PYTHON_OF_PROJECT := .venv/bin/python
CXX_SOURCES := $(wildcard src/*/*.h src/*/*.cc src/*/*.cu src/*/*.cuh tests/*/*.h tests/*/*.cc examples/*/*.h examples/*/*.cc)

.PHONY: help setup demo train-smoke test test-all attack deploy-check sanitize bench reproduce reproduce-quick lint format clean

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready ## Make .venv: dependencies, the project, Horovod

.venv/.ready: requirements.txt pyproject.toml setup.py scripts/setup.sh $(wildcard src/*/*)
	scripts/setup.sh
	touch $@

demo: setup ## Train on Fashion-MNIST, show the figure and the table, publish, reload, export
	$(PYTHON_OF_PROJECT) scripts/demo.py

train-smoke: setup ## Train on a small set like ImageNet: two ranks, killed, continued, published (3 minutes)
	$(PYTHON_OF_PROJECT) scripts/train_smoke.py

test: setup ## Run the quick tests (6 minutes)
	$(PYTHON_OF_PROJECT) -m pytest -m "not slow and not release"

test-all: setup ## Run all tests
	$(PYTHON_OF_PROJECT) -m pytest

MINUTES ?= 10
attack: setup ## Attack all that reads from strangers for MINUTES=10, and print counts
	$(PYTHON_OF_PROJECT) -m tests.attacks --minutes $(MINUTES)

deploy-check: setup ## Export every net of the zoo in all forms; compare and time every runtime
	$(PYTHON_OF_PROJECT) -W ignore scripts/deploy_check.py

sanitize: setup ## Test the operators in a build with AddressSanitizer and UBSan
	PYTHON=$(CURDIR)/$(PYTHON_OF_PROJECT) scripts/sanitize.sh

bench: setup ## Time operators, layers and networks against MXNet's and PyTorch's
	$(PYTHON_OF_PROJECT) benchmarks/prelu.py
	$(PYTHON_OF_PROJECT) benchmarks/layers.py
	$(PYTHON_OF_PROJECT) benchmarks/nets.py
	$(PYTHON_OF_PROJECT) benchmarks/models.py
	$(PYTHON_OF_PROJECT) benchmarks/where.py
	$(PYTHON_OF_PROJECT) benchmarks/initialise.py
	$(PYTHON_OF_PROJECT) benchmarks/horovod_scaling.py
	$(PYTHON_OF_PROJECT) benchmarks/input_pipeline.py

reproduce: setup ## Measure the paper's claims, as far as not done, and report them in docs (an hour)
	$(PYTHON_OF_PROJECT) -m study run

reproduce-quick: setup ## The same, much reduced, into runs/reproduce-quick (4 to 8 minutes)
	$(PYTHON_OF_PROJECT) -m study run --quick

lint: setup ## Check style and types: ruff, mypy, clang-format
	$(PYTHON_OF_PROJECT) -m ruff check .
	$(PYTHON_OF_PROJECT) -m ruff format --check .
	$(PYTHON_OF_PROJECT) -m mypy
	.venv/bin/clang-format --dry-run -Werror $(CXX_SOURCES)

format: setup ## Bring the style in order
	$(PYTHON_OF_PROJECT) -m ruff check --fix .
	$(PYTHON_OF_PROJECT) -m ruff format .
	.venv/bin/clang-format -i $(CXX_SOURCES)

clean: ## Remove what was built, but not runs/
	rm -rf .venv build dist *.egg-info deeprect_gluon/*.so
