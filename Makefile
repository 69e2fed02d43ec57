# What a person or CI does with this tree. `make` alone lists it.

SHELL := /bin/sh
.SHELLFLAGS := -euc
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# Every path below follows cargo's own setting.
TARGET := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help
help: ## List these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

.PHONY: setup
setup: ## Install what is missing on this machine (apt), or say what is
	@dev/install
	@dev/axe

.PHONY: build
build: setup ## Build every program
	@cargo build --locked --workspace --all-features --bins

.PHONY: package
package: setup ## Pack the three functions and the probe into dist/, for x86_64 and arm64 (ARCH=x86_64, arm64 or both; PROFILE=dev: unoptimized)
	@dev/package-all

.PHONY: package-sources
package-sources: setup ## Gather the source of what `make package` packed, for those who pass the packages on, into dist/sources/
	@dev/package-sources

.PHONY: package-check
package-check: build ## Check that packing twice gives equal bytes, and that a package without a library is refused
	@PROFILE=dev dev/package --self-check

.PHONY: demo
demo: build ## Show the whole pipeline at work on a local AWS, then clean up (PACKAGES=dist: with what `make package` made; CONSOLE=1: serve its report live at the end)
	@exec $(TARGET)/debug/nacre-demo $(if $(PACKAGES),--packages $(PACKAGES)) $(if $(CONSOLE),--console)

# `exec`: a signal for the recipe is one for the program, which cleans up and ends.
.PHONY: stack
stack: build ## Run a local AWS with Nacre deployed until Ctrl-C; print the environment that it is used with
	@exec $(TARGET)/debug/nacre-demo --stay --directory $(TARGET)/local

# The end-to-end tests package the programs as they deploy them, so they are built first. They mostly wait for the local AWS, so
# more tests run at a time than there are cores.
.PHONY: test
test: build ## Run every test: unit, property, contract, end to end
	@rm -rf $(TARGET)/schemas-held
	@RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$(($$(nproc) * 2))} cargo test --locked --workspace --all-features $(TEST_OPTIONS)

.PHONY: schemas
schemas: ## Check that the last `make test` held something to each schema of `--json`
	@dev/schemas-held

.PHONY: check
check: ## Check what changed: format, clippy, unit tests of the packages that differ from main
	@dev/check

.PHONY: unit
unit: setup ## Run the unit tests of every package, without the local AWS
	@cargo test --locked --workspace --all-features --lib --bins

# Its small form is one of the tests. The programs are built first: the stack deploys them.
# Each case is four generations of signatures, some 38 files and 12 ways between them: about 5 s.
.PHONY: differential
differential: build ## Compare incremental rescans with full ones over NACRE_DIFFERENTIAL_CASES random cases (200)
	@NACRE_DIFFERENTIAL_CASES=$(or $(NACRE_DIFFERENTIAL_CASES),200) \
		cargo test --locked --workspace --all-features --test differential -- --nocapture incremental scripts

.PHONY: soak
soak: build ## Kill and confuse the scanner over SOAK_OBJECTS objects (20000)
	@SOAK_OBJECTS=$(or $(SOAK_OBJECTS),20000) cargo test --locked --workspace --all-features --test soak -- --nocapture

.PHONY: oracle
oracle: build ## Hold verdicts against what ordinary tools unpack, in every case (make test tries one of twenty)
	@NACRE_ORACLE_STEP=1 cargo test --locked -p nacre-engine --all-features --test engine oracle -- --nocapture

.PHONY: refusals
refusals: build ## Count which ordinary files are refused, below REFUSALS_DIRECTORIES (what a developer's machine has)
	@dev/refusals $(REFUSALS_DIRECTORIES)

# Bounded: FUZZ_SECONDS for each target, 20 where it is not set. See fuzz/.
.PHONY: fuzz
fuzz: setup ## Feed every parser with made-up input, each for FUZZ_SECONDS
	@dev/fuzz

.PHONY: bench
bench: bench-update bench-scan bench-cold bench-rescan bench-report bench-year ## Run every benchmark

# The engine first: it is what proves a set, and a benchmark builds no other program. docs/benchmarks.md explains the figures.
.PHONY: bench-update
bench-update: setup ## Measure updates beside a stock freshclam's (BENCH_SIGNATURES)
	@cargo build --locked --release --workspace --all-features --bin nacre-engine
	@cargo bench --locked --workspace --all-features --bench update

.PHONY: bench-scan
bench-scan: setup ## Measure scans beside clamscan's and clamd's (BENCH_SIGNATURES, BENCH_OBJECTS)
	@cargo build --locked --release --workspace --all-features --bin nacre-engine
	@cargo bench --locked --workspace --all-features --bench scan

.PHONY: bench-cold
bench-cold: setup ## Measure a cold start by scan sets beside a full load (BENCH_SIGNATURES); leaves target/bench/cold.json
	@cargo build --locked --release --workspace --all-features --bin nacre-engine --bin nacre-lambda-cell
	@cargo bench --locked --workspace --all-features --bench cold

.PHONY: bench-rescan
bench-rescan: setup ## Measure a rescan beside a full one and clamscan's (BENCH_SIGNATURES, BENCH_OBJECTS)
	@cargo build --locked --release --workspace --all-features --bin nacre-engine
	@cargo bench --locked --workspace --all-features --bench rescan

.PHONY: bench-report
bench-report: setup ## Measure a report of BENCH_RECORDS records (1000000): seconds and memory; leaves target/bench/report.json
	@cargo build --locked --release --workspace --all-features --bin nacre
	@cargo bench --locked --workspace --all-features --bench report

.PHONY: bench-year
bench-year: setup ## Play a year of updates through the planner (BENCH_YEAR: a file of assumptions)
	@cargo bench --locked --workspace --all-features --bench year

.PHONY: lint
lint: setup fmt-check clippy doc deny template shell ## Run every check that runs no code of ours

.PHONY: fmt
fmt: ## Format the code
	@cargo fmt --all

.PHONY: fmt-check
fmt-check: ## Check the formatting
	@cargo fmt --all --check

# The second run checks that the pure crates stand alone: no feature of another crate may hide a missing one.
.PHONY: clippy
clippy: ## Check the code, and that the pure crates stand alone
	@cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
	@cargo clippy --locked --package nacre-core --package nacre-clamav -- -D warnings

.PHONY: doc
doc: ## Check the documentation, private items too
	@RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --all-features --no-deps --document-private-items --quiet

.PHONY: deny
deny: ## Check licences, versions, sources and advisories of the dependencies
	@dev/deny

.PHONY: shell
shell: setup ## Check the shell scripts with shellcheck
	@shellcheck --external-sources dev/axe dev/check dev/debian-archive dev/deny dev/fuzz dev/install dev/package dev/package-all dev/package-gate dev/package-libraries dev/package-sources dev/refusals dev/release dev/schemas-held dev/template dev/ways infra/install.sh .ci/run

# Needs npm's registry, and terraform where it is there, and says so where they are not; so it is no part of `make lint`.
.PHONY: ways
ways: ## Check the Terraform module, the CDK construct and the release workflow
	@dev/ways

.PHONY: template
template: setup ## Check infra/template.yaml with cfn-lint
	@dev/template
