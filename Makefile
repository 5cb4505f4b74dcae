# Thin: every target is a command of `ops`, and everything works with plain `pulumi` too.
STACK ?= dev
PYTHON ?= python3
export STACK

GROUNDWORK = .venv/bin/python -m ops

.DEFAULT_GOAL := help
.PHONY: help init up preview health forward env logs down purge test test-unit test-kubernetes lint bench lock docs pictures shellenv venv

help: ## Show this help
	@echo "Groundwork: the backend under a data or AI application."
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | awk -F'|' '{printf "%-24s %s\n", $$1, $$2}'
	@echo
	@echo "STACK=name chooses the stack (default dev). Settings: Pulumi.<stack>.yaml, docs/configuration.md."

venv:
	@$(PYTHON) ops/bootstrap.py

up: venv ## Set up what is needed, deploy the stack, verify that it is healthy
	@$(GROUNDWORK) up

init: venv ## Make the stack and its generated keys, and deploy nothing
	@$(GROUNDWORK) init

preview: venv ## Show what `make up` would change
	@$(GROUNDWORK) preview

health: venv ## Verify that the deployed stack works: write, read back, compare
	@$(GROUNDWORK) health

forward: venv ## Bring a Kubernetes stack's endpoints to this machine (Ctrl-C ends it)
	@$(GROUNDWORK) forward

env: venv ## Write the application's environment to .env, the administrators' to .env.admin
	@$(GROUNDWORK) env

logs: venv ## Follow a service's log: make logs S=postgres
	@$(GROUNDWORK) logs $(S)

down: venv ## Remove the stack's containers and networks; keep its data
	@$(GROUNDWORK) down

purge: venv ## Delete the stack and its data, after asking for the stack's name
	@$(GROUNDWORK) purge

shellenv: venv ## Print what to `eval` to use plain `pulumi` here
	@$(GROUNDWORK) shellenv

bench: venv ## Measure speed and memory of the deployed stack
	@$(GROUNDWORK) bench

test: ## Lint, types, and all tests, including a real deployment of its own
	@$(PYTHON) ops/bootstrap.py --dev
	@$(GROUNDWORK) test

test-kubernetes: ## The chart and the platform on a real cluster: GROUNDWORK_TEST_CONTEXT's, or one made here
	@$(PYTHON) ops/bootstrap.py --dev
	@$(GROUNDWORK) test-kubernetes

test-unit: ## Lint, types and the tests that need no Docker
	@$(PYTHON) ops/bootstrap.py --dev
	@$(GROUNDWORK) test --no-live

lint: ## Lint and types only
	@$(PYTHON) ops/bootstrap.py --dev
	@$(GROUNDWORK) lint

docs: venv ## Write the references of settings, metrics and the chart from the code
	@$(GROUNDWORK) docs

pictures: ## Draw the dashboards from the deployed stack's live data
	@$(PYTHON) ops/bootstrap.py --dev
	@$(GROUNDWORK) pictures

lock: ## Resolve the dependencies again, with hashes
	@$(PYTHON) ops/bootstrap.py --dev
	@$(GROUNDWORK) lock
