# The verbs of a developer and of CI. Needs git, make and npm; everything else is brought by `toolchain` and `install`,
# Debian packages (QEMU, libvirt, PostgreSQL) by `system`, which needs root once.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

NODE_VERSION := 24.21.0
PNPM_VERSION := 11.28.10
NODE_ARCH := $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,x64)
TOOLS := .toolchain/node_modules
TOOLCHAIN_READY := .toolchain/.node-$(NODE_ARCH)-$(NODE_VERSION)-pnpm-$(PNPM_VERSION)
INSTALL_READY := node_modules/.installed

export PATH := $(CURDIR)/$(TOOLS)/.bin:$(PATH)
# Our command line must work whatever a user's own npm settings say about scripts and audits.
export npm_config_audit := false
export npm_config_fund := false
export npm_config_update_notifier := false

JEST := node --experimental-vm-modules --no-warnings node_modules/jest/bin/jest.js

.PHONY: help toolchain install system build gen gen-check lint format typecheck test test-unit test-database test-host \
	test-system demo acceptance crash pairs walk bench install-manager install-agent install-cli clean-testbed clean

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

toolchain: $(TOOLCHAIN_READY) ## Node and pnpm, pinned, below .toolchain/
$(TOOLCHAIN_READY):
	npm install --silent --no-save --no-package-lock --prefix .toolchain node-linux-$(NODE_ARCH)@$(NODE_VERSION) pnpm@$(PNPM_VERSION)
	rm -f .toolchain/.node-*
	touch $@

install: $(INSTALL_READY) ## Dependencies, exactly as locked
$(INSTALL_READY): $(TOOLCHAIN_READY) pnpm-lock.yaml package.json $(wildcard apps/*/package.json packages/*/package.json test/package.json)
	pnpm install --frozen-lockfile --reporter=append-only >.toolchain/install.log 2>&1 || { cat .toolchain/install.log >&2; exit 1; }
	touch $@

system: ## Debian packages that the tests and the demo need (root)
	tools/install-system.sh

build: install ## Compile everything
	pnpm --silent run build

gen: install ## Generate code from proto/
	pnpm --silent run gen

gen-check: install ## Fail when generated code is not what proto/ says
	tools/check-generated.sh

lint: install ## Lint, module borders, proto style, formatting
	pnpm --silent run lint

format: install ## Format everything
	pnpm --silent run format

typecheck: build ## Types (the build checks them)

test: system gen-check build lint ## Everything that CI runs
	$(JEST)

test-unit: install ## Rules, in milliseconds
	$(JEST) --selectProjects unit

test-database: build system ## With a real PostgreSQL
	$(JEST) --selectProjects database

test-host: build system ## With real libvirt and QEMU
	$(JEST) --selectProjects host

test-system: build system ## The part of acceptance and crash that CI runs
	$(JEST) --selectProjects system

demo: build system ## Back up and restore a real VM; KEEP=1 leaves everything running
	node --enable-source-maps test/dist/demo/main.js

acceptance: build system ## Rows of the acceptance tables on real VMs; without CASES many hours to days (sweeps X1-X4, walk X14); CASES=B,I,K,Q,S has none of these
	node --enable-source-maps test/dist/acceptance/main.js

crash: build system ## Kill everything at every step, then check content; CASES=… chooses
	node --enable-source-maps test/dist/crash/main.js

pairs: build system ## Two operations of one VM run into one another, every pair, then check content; PAIRS=… chooses
	node --enable-source-maps test/dist/pairs/main.js

walk: build system ## Random operations with random kills, every invariant after each; SEED=n STEPS=200
	node --enable-source-maps test/dist/walk/main.js

bench: build ## Compare with the floor and with virtnbdbackup; JSON=FILE also writes the numbers
	tools/install-system.sh --bench
	node --enable-source-maps test/dist/bench/main.js

install-manager install-agent install-cli: build ## Install a program of this checkout on this machine (root); DESTDIR=… for packages
	deploy/install.sh $(@:install-%=%)

clean-testbed: build ## Remove what interrupted runs left behind
	node test/dist/testbed/cleanup.js

clean: ## Remove what was built
	rm -rf apps/*/dist packages/*/dist test/dist
