# Every target installs what it needs first (tools/install-deps.sh); nothing happens when all of it is there.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# One folder for all clones, outside of them, so that a fresh clone need not compile its dependencies again.
ifndef CARGO_TARGET_DIR
ifneq ($(wildcard $(HOME)/.cache),)
export CARGO_TARGET_DIR := $(HOME)/.cache/covirt/target
endif
endif

# make demo CONNECT=qemu:///system   make sim SEEDS=1000   make test FILTER=snapshot   make test-consumers TIER=light   make fuzz SECONDS=300
export CONNECT VM
SEEDS ?= 1000
SECONDS ?= 60

TIER ?= all

.PHONY: help deps demo check test test-deb deb test-consumers sim fuzz mutants bench docs clean

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

deps: ## Install everything the other targets need (apt, as root or with sudo)
	@tools/install-deps.sh build qemu guest clients consumers check bench fuzz

demo: ## Two providers on one VM: test:///default, or a real guest with CONNECT=qemu:///system
	@tools/demo.sh

check: ## Formatting, lints, documentation, licences, links: all that needs no run
	@tools/install-deps.sh build
	@tools/install-deps.sh --try check
	@tools/check.sh

test: ## Every test tier, QEMU included; what cannot run here is counted as skipped
	@tools/install-deps.sh build
	@tools/install-deps.sh --try qemu guest clients consumers
	@tools/test.sh $(FILTER)

deb: ## Build the Debian package of the release build: dist/covirt_VERSION_ARCH.deb
	@tools/install-deps.sh build
	cargo build --locked --release --bins
	@tools/build-deb.sh

test-deb: ## Install, use, upgrade and purge the package (of the debug build) in a clean Debian; make test does it, too
	@tools/install-deps.sh build
	@tools/install-deps.sh --try guest
	cargo build --locked --bins
	@tools/test-deb.sh

test-consumers: ## The providers' own software on our artifacts; TIER=light|openstack for one part
	@tools/install-deps.sh build
	@tools/install-deps.sh --try consumers
	@tools/test-consumers.sh $(TIER)

sim: ## The simulation, over SEEDS seeds, every state with a fault, and a day of commands on a lane
	@tools/install-deps.sh build
	COVIRT_SEEDS=$(SEEDS) cargo test --locked --release --test sim -- --nocapture
	cargo test --locked --release --test model_check -- --ignored --nocapture
	COVIRT_SOAK_HOURS=24 cargo test --locked --release --test journal_soak -- --nocapture

fuzz: ## Bytes that are guided by what they reach, at a door's code, SECONDS for each target; ARGS="framing" for one
	@tools/install-deps.sh build fuzz
	@tools/fuzz.sh $(SECONDS) $(ARGS)

mutants: ## Mutation testing of the resolver; ARGS="--only REGEX" for a part, "--again" for what survived, "--behind" for the long judges
	@tools/install-deps.sh build
	@tools/mutants.sh $(ARGS)

bench: ## The figures of docs/benchmarks.md
	@tools/install-deps.sh build
	@tools/install-deps.sh --try qemu guest bench
	@tools/with-qemu.sh cargo bench --locked

docs: ## The API documentation, and docs/actions.md and docs/procedures.md written anew
	@tools/install-deps.sh build
	cargo doc --locked --no-deps --document-private-items
	COVIRT_BLESS=1 cargo test --locked --test actions_doc --test procedures_doc

clean: ## What cargo built (the guest's cache stays)
	cargo clean
