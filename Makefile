# The one door for people and for CI. Run it as root: the lab installs Debian packages and boots virtual machines.
# Everything made here lies under build/, and in the lab's cache (~/.cache/mooring-lab) what is worth keeping.
SHELL := /bin/bash
VENV := build/venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.installed
HOST := build/host
NOVA := build/nova
NODE ?= node1

.DEFAULT_GOAL := help
.PHONY: help demo test lint test-unit test-exhaustive test-functional test-lab test-long churn lab-up lab-shell lab-down docs bench bench-node bench-schedule venv clean

help:  ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

demo: $(STAMP)  ## Show it all: two guests with SR-IOV cards, real Neutron, containers on VFs
	$(PYTHON) -m lab demo

# Functional tests mostly wait, and leave room beside them.
test: $(STAMP)  ## Run all tests but the long ones, in less than 25 minutes
	$(MAKE) --jobs=2 --output-sync=line test-functional lint test-unit test-exhaustive
	$(MAKE) test-lab

lint: $(STAMP)  ## Check style and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

test-unit: $(STAMP)  ## Run the unit tests (no root, seconds)
	$(PYTHON) -m pytest --numprocesses 2 -m "not exhaustive" tests/unit

test-exhaustive: $(STAMP)  ## Run the unit tests that fail every call of whole lives (no root, a minute)
	$(PYTHON) -m pytest --numprocesses 2 -m exhaustive tests/unit

test-functional: $(STAMP)  ## Run the tests against real Neutron, dockerd and netlink (root)
	$(PYTHON) -m pytest tests/functional

test-lab: $(STAMP)  ## Run the tests in the QEMU guests (root)
	$(PYTHON) -m pytest -m "not long" tests/lab

test-long: $(STAMP)  ## Run the long tests in the guests: every kind of port, Neutron's agents, kills, hosts that fail (root)
	$(PYTHON) -m pytest -m long tests/lab

churn: $(STAMP)  ## Let 500 containers come and go in the lab while daemon and containers are killed (root)
	CHURN_CYCLES=$${CHURN_CYCLES:-500} $(PYTHON) -m pytest tests/lab/test_churn.py

lab-up: $(STAMP)  ## Boot the lab and leave it running
	$(PYTHON) -m lab up

lab-shell: $(STAMP)  ## Open a shell in a guest: make lab-shell NODE=node1
	$(PYTHON) -m lab shell $(NODE)

lab-down: $(STAMP)  ## Stop the lab
	$(PYTHON) -m lab down

bench: bench-node  ## Measure what mooring costs: attach and detach in the lab, the daemon on this machine (root)
	$(PYTHON) -m bench.attach

bench-node: $(STAMP) $(HOST)/.installed  ## Measure the daemon alone: memory, start, idling (root)
	$(PYTHON) -m bench.node

bench-schedule: $(STAMP) $(NOVA)/.installed  ## Measure placing and claiming in clusters of up to 10,000 hosts (root)
	$(PYTHON) -m bench.schedule

docs: $(STAMP)  ## Write the sample configuration to build/docs/mooring.conf.sample
	@mkdir -p build/docs
	$(VENV)/bin/oslo-config-generator --namespace mooring --output-file build/docs/mooring.conf.sample

venv: $(STAMP)  ## Make the project's virtual environment

$(STAMP): pyproject.toml constraints.txt
	@python3 -c 'import ensurepip, venv' 2>/dev/null || { apt-get update && apt-get install --yes python3-venv; }
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --constraint constraints.txt --editable '.[node,controller,client,dev]'
	@touch $@

# Mooring as a container host has it: libraries load more when they find what is for developing only.
$(HOST)/.installed: pyproject.toml constraints.txt | $(STAMP)
	python3 -m venv $(HOST)
	$(HOST)/bin/pip install --quiet --constraint constraints.txt --editable '.[node]'
	@touch $@

# Nova is compared with, and shares nothing with us.
$(NOVA)/.installed: | $(STAMP)
	python3 -m venv $(NOVA)
	$(NOVA)/bin/pip install --quiet nova==34.0.0
	@touch $@

clean:  ## Remove what was built here (a running lab must be stopped first: make lab-down)
	rm -rf build
