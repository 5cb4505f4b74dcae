# Thin: every target is a command of `ops`, and everything works with plain `pulumi` too.
STACK ?= dev
PYTHON ?= python3
export STACK
# Where it is set, as in many images, every command would compile all its modules again.
unexport PYTHONDONTWRITEBYTECODE
# Files and output are UTF-8 in any locale.
export PYTHONUTF8 = 1

GROUNDWORK = .venv/bin/python -m ops

.DEFAULT_GOAL := help
.PHONY: help init up preview review upgrade-check drift health forward env logs down purge backup backups backup-check upgrade-postgres restore migrate-chroma drill kit recover test test-unit test-live test-kubernetes lint bench lock docs pictures shellenv venv

help: ## Show this help
	@echo "Groundwork: the backend under a data or AI application."
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | awk -F'|' '{printf "%-24s %s\n", $$1, $$2}'
	@echo
	@echo "STACK=name chooses the stack (default dev). Settings: Pulumi.<stack>.yaml, docs/configuration.md."

venv:
	@$(PYTHON) ops/bootstrap.py

up: venv ## Set up the prerequisites, deploy the stack, verify that it is healthy
	@$(GROUNDWORK) up $(if $(EMPTY),--empty '$(EMPTY)')

init: venv ## Create the stack and its generated keys without deploying anything
	@$(GROUNDWORK) init

preview: venv ## Show what `make up` would change
	@$(GROUNDWORK) preview

review: venv ## Say what a change would do: make review BASE=origin/main
	@$(GROUNDWORK) review $(if $(BASE),--base $(BASE))

upgrade-check: venv ## Say what this version would change in the deployed stack
	@$(GROUNDWORK) upgrade-check

drift: venv ## Compare what runs with what was deployed
	@$(GROUNDWORK) drift

health: venv ## Verify that the deployed stack works: write, read back, compare
	@$(GROUNDWORK) health

forward: venv ## Forward a Kubernetes stack's endpoints to this machine (until Ctrl-C)
	@$(GROUNDWORK) forward

env: venv ## Write the application's environment to .env, the administrators' to .env.admin
	@$(GROUNDWORK) env

logs: venv ## Follow a service's log: make logs S=postgres
	@$(GROUNDWORK) logs $(S)

down: venv ## Remove the stack's containers and networks; keep its data
	@$(GROUNDWORK) down

purge: venv ## Delete the stack and its data, after asking for the stack's name
	@$(GROUNDWORK) purge

backup: venv ## Back up every store now
	@$(GROUNDWORK) backup

backups: venv ## List the backups
	@$(GROUNDWORK) backups

backup-check: venv ## Check the repositories of backups for damage
	@$(GROUNDWORK) backup-check

upgrade-postgres: venv ## Move Postgres to this version's major; BACK=1 returns, DROP=<major> deletes the old data
	@$(GROUNDWORK) upgrade-postgres $(if $(DROP),--drop $(DROP)) $(if $(BACK),--back)

restore: venv ## Restore a backup: make restore AT=<number or time> ONLY=postgres REPLACE=postgres
	@$(GROUNDWORK) restore $(if $(AT),--at '$(AT)') $(if $(ONLY),--only '$(ONLY)') $(if $(REPLACE),--replace '$(REPLACE)') $(if $(OF),--of '$(OF)')

migrate-chroma: venv ## Move ChromaDB's collections: make migrate-chroma FROM=./chroma TO=qdrant (DRY=1, UNDO=1)
	@$(GROUNDWORK) migrate-chroma '$(FROM)' --to '$(TO)' $(if $(ONLY),--only '$(ONLY)') $(if $(DRY),--dry-run) $(if $(UNDO),--undo)

drill: venv ## Restore the last backup into a scratch stack, which is removed again
	@$(GROUNDWORK) drill

kit: venv ## Write the recovery kit, which opens the backups and makes the stack again
	@$(GROUNDWORK) kit $(KIT)

recover: venv ## Make a stack's file and passphrase again: make recover KIT=file
	@$(GROUNDWORK) recover $(KIT)

shellenv: venv ## Print shell code to `eval` for using plain `pulumi` here
	@$(GROUNDWORK) shellenv

bench: venv ## Measure speed and memory of the deployed stack
	@$(GROUNDWORK) bench

test: ## Run lint, type checks and all tests, including real deployments
	@$(PYTHON) ops/bootstrap.py --dev
	@$(GROUNDWORK) test

test-live: ## Test only deployments on Docker; GROUNDWORK_TEST_IMAGES=registry takes official images
	@$(PYTHON) ops/bootstrap.py --dev
	@$(GROUNDWORK) test-live

test-kubernetes: ## Test the chart and the platform on a real cluster: GROUNDWORK_TEST_CONTEXT's, or one made here
	@$(PYTHON) ops/bootstrap.py --dev
	@$(GROUNDWORK) test-kubernetes

test-unit: ## Run lint, type checks and the tests that need no Docker
	@$(PYTHON) ops/bootstrap.py --dev
	@$(GROUNDWORK) test --no-live

lint: ## Run only lint and type checks
	@$(PYTHON) ops/bootstrap.py --dev
	@$(GROUNDWORK) lint

docs: venv ## Generate the references of settings, metrics and the chart
	@$(GROUNDWORK) docs

pictures: ## Draw the dashboards from the deployed stack's live data
	@$(PYTHON) ops/bootstrap.py --dev
	@$(GROUNDWORK) pictures

lock: ## Re-resolve the dependencies, with hashes
	@$(PYTHON) ops/bootstrap.py --dev
	@$(GROUNDWORK) lock
