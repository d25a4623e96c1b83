# Everything a developer or CI runs. `make` alone lists the targets.
CARGO ?= cargo
# Where Cargo puts what it builds; a CARGO_TARGET_DIR in the environment counts.
TARGET_DIR = $(or $(CARGO_TARGET_DIR),target)
# Arguments for `tidegate serve` and `tidegate demo`: make run ARGS="--listen 127.0.0.1:9000"; for the comparison of
# `make bench`: make bench ARGS=--long; for k6: make load-test TEST=steady ARGS="-e RATE=20000"
ARGS ?=
# A k6 script of load-tests/
TEST ?= smoke
# How long `make fuzz` runs each target.
FUZZ_SECONDS ?= 60

.DEFAULT_GOAL := help
.PHONY: help run demo test test-faults test-matrix test-agents bench load-test fuzz lint fmt licences clean postgres release package

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

run: release ## build and serve, with a private PostgreSQL when no database is configured
	exec $(TARGET_DIR)/release/tidegate serve $(ARGS)

demo: release ## a throwaway instance with generated telemetry, and what it stored
	exec $(TARGET_DIR)/release/tidegate demo $(ARGS)

test: postgres lint ## everything that CI runs: format, lints, tests, licences; ends in one line of totals
	@CARGO="$(CARGO)" scripts/test

test-faults: postgres ## the slow, rare and repeated trials that `make test` leaves out
	@CARGO="$(CARGO)" scripts/test --test faults --test behaviour -- --ignored

test-matrix: postgres ## every behaviour on each PostgreSQL of the machine and of TIDEGATE_TEST_POSTGRES=bindir:bindir; ARGS names some
	@CARGO="$(CARGO)" scripts/test-matrix $(ARGS)

test-agents: postgres ## real agents end to end: installs them into target/agents, and tries each; ARGS names some
	@scripts/install-agents
	@CARGO="$(CARGO)" scripts/test --test agents -- --include-ignored $(ARGS)

fuzz: postgres ## each fuzz target for FUZZ_SECONDS (60)
	CARGO="$(CARGO)" CARGO_TARGET_DIR="$(abspath $(TARGET_DIR))" scripts/fuzz $(FUZZ_SECONDS)

bench: postgres ## measure everything, about 20 minutes; ARGS=--long for the parts that take hours as well
	$(CARGO) bench --bench event_pipeline
	$(CARGO) bench --bench request_parts
	$(CARGO) bench --bench schemas
	$(CARGO) bench --bench protocols
	$(CARGO) bench --bench forecasts
	$(CARGO) bench --bench compare -- $(ARGS)

load-test: ## a k6 script against URL and KEY, or an instance of its own; TEST=smoke|steady|spike|soak|small-senders|dashboards
	@[ -n "$$URL" ] || $(MAKE) --no-print-directory release
	@scripts/load-test $(TEST) $(ARGS)

lint: ## formatting and lints, without changing anything
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings

fmt: ## format the sources
	$(CARGO) fmt

licences: ## check every dependency's licence and source against deny.toml, without a download
	@CARGO="$(CARGO)" scripts/check-licences

clean: ## remove what was built; data directories stay
	$(CARGO) clean

release: postgres
	$(CARGO) build --release --bin tidegate

package: postgres ## a Debian package and its program, the same wherever it is built; needs cargo-deb
	@CARGO="$(CARGO)" CARGO_TARGET_DIR="$(abspath $(TARGET_DIR))/package" scripts/package

postgres:
	@scripts/ensure-postgres
