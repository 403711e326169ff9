# The commands of this project. `make` alone lists them.

CARGO ?= cargo
# How long each fuzz target runs in a soak.
FUZZ_MS ?= 120000
BENCHES = $(basename $(notdir $(wildcard benches/benches/*.rs)))

.PHONY: help demo test lint bench soak deps clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

demo: deps ## the main job before your eyes; IMAGE=registry/name:tag for an image of yours
	$(CARGO) build --release --locked -p meganeura-supernode -p meganeura-dfdaemon \
		-p meganeura-image-builder -p meganeura-nydusd
	scripts/demo

test: deps ## every test
	@scripts/snapshotter
	$(CARGO) build --workspace --bins --locked
	$(CARGO) test --workspace --locked

lint: ## format, clippy with warnings denied, and the rules of deny.toml where cargo-deny is installed
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	@if command -v cargo-deny >/dev/null; then \
		$(CARGO) deny --offline check bans licenses sources; \
	else echo "cargo-deny is not installed: deny.toml was not checked"; fi

bench: ## ours beside its baseline: tables here, JSON in target/bench; NAME=mirror-warm for one (root)
	@scripts/deps bench
	$(CARGO) build --release --locked -p meganeura-supernode -p meganeura-dfdaemon \
		-p meganeura-dfget -p meganeura-image-builder -p meganeura-nydusd
	for name in $(or $(NAME),$(BENCHES)); do \
		$(CARGO) bench --quiet --locked -p meganeura-benches --bench $$name || exit 1; \
	done

soak: deps ## long hauls, an hour or two: big swarms, many kills, generated input by the hundred thousand
	$(CARGO) build --workspace --bins --release --locked
	$(CARGO) test --release --locked -p meganeura-schedule --features soak
	BOLERO_RANDOM_TEST_TIME_MS=$(FUZZ_MS) BOLERO_RANDOM_ITERATIONS=4294967295 \
		$(CARGO) test --release --locked -p meganeura-fuzz
	BOLERO_RANDOM_TEST_TIME_MS=$(FUZZ_MS) BOLERO_RANDOM_ITERATIONS=4294967295 \
		$(CARGO) test --release --locked --test fuzz -p meganeura-layer -p meganeura-merkle \
		-p meganeura-rafs -p meganeura-image-builder
	$(CARGO) test --release --locked -p meganeura-image-builder --features soak \
		--test generated --test hostile_images --test sizes
	$(CARGO) test --release --locked -p meganeura-nydusd --features soak --test many
	$(CARGO) test --release --locked -p meganeura-tests --features soak --test chaos
	$(CARGO) run --release --locked -p meganeura-schedule --example simulate -- 8 100 1000 10000

deps: ## the system packages that demo and tests need (root)
	@scripts/deps

clean: ## what was built
	$(CARGO) clean
