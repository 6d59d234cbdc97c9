# etcdtop: `make help` lists what there is.
SHELL := /bin/bash
CARGO ?= cargo
# MSRV; keep in step with rust-version in Cargo.toml.
RUST_NEEDED := 1.88

# Where cargo builds.
TARGET := $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: deb incident soak bench-fleet bench-roll help demo run build test check bench screenshots fetch rust clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

demo: rust ## a real 3-member cluster on this machine with a Kubernetes-like load, and the dashboard on it
	@scripts/fetch-tools demo
	@export PROTOC="$$(scripts/fetch-tools --protoc-path)"; $(CARGO) build --release --locked
	@$(TARGET)/release/etcdtop lab --members 3 --load kubernetes

run: build ## the dashboard; ARGS="--endpoints ..." are passed on
	@$(TARGET)/release/etcdtop $(ARGS)

build: rust ## the release program
	@export PROTOC="$$(scripts/fetch-tools --protoc-path)"; $(CARGO) build --release --locked

test: rust ## every test, against real etcd 3.4, 3.5, 3.6 and 3.7 (fetched if missing)
	@scripts/fetch-tools all
	@export PROTOC="$$(scripts/fetch-tools --protoc-path)"; $(CARGO) test --locked

check: rust ## formatting, lints, then every test
	@$(CARGO) fmt --version >/dev/null 2>&1 || { echo "make check needs rustfmt: rustup component add rustfmt (or Debian's rustfmt package)" >&2; exit 1; }
	@$(CARGO) clippy --version >/dev/null 2>&1 || { echo "make check needs clippy: rustup component add clippy (or Debian's rust-clippy package)" >&2; exit 1; }
	@$(CARGO) fmt --check
	@export PROTOC="$$(scripts/fetch-tools --protoc-path)"; $(CARGO) clippy --locked --all-targets -- -D warnings
	@$(MAKE) --no-print-directory test

bench: build ## whole-program measurements beside htop, in one run
	@scripts/fetch-tools demo
	@export PROTOC="$$(scripts/fetch-tools --protoc-path)"; $(CARGO) build --release --locked --example bench --example roll --example snapshot
	@$(TARGET)/release/examples/bench
	@$(TARGET)/release/examples/roll --overhead
	@$(TARGET)/release/examples/snapshot

bench-fleet: build ## a hundred clusters of three members at once, on a fake etcd: CPU, memory, bytes to the terminal
	@export PROTOC="$$(scripts/fetch-tools --protoc-path)"; $(CARGO) build --release --locked --example fleet
	@$(TARGET)/release/examples/fleet

bench-roll: build ## a rolling defragmentation of 1 GiB files beside etcdctl's, under writers
	@scripts/fetch-tools demo
	@export PROTOC="$$(scripts/fetch-tools --protoc-path)"; $(CARGO) build --release --locked --example roll
	@$(TARGET)/release/examples/roll

soak: build ## healthy clusters of every version for 20 minutes: nothing above a note may be found
	@scripts/fetch-tools all
	@export PROTOC="$$(scripts/fetch-tools --protoc-path)"; $(CARGO) build --release --locked --example soak
	@$(TARGET)/release/examples/soak

incident: build ## assets/incident.etcdtop anew, from a real lab: what `etcdtop replay` shows without a file
	@scripts/fetch-tools demo
	@export PROTOC="$$(scripts/fetch-tools --protoc-path)"; $(CARGO) build --release --locked --example screenshots
	@rm -f $(TARGET)/incident.etcdtop; $(TARGET)/release/examples/screenshots incident $(TARGET)/incident.etcdtop
	@rm -f assets/incident.etcdtop; $(TARGET)/release/etcdtop replay $(TARGET)/incident.etcdtop --anonymise assets/incident.etcdtop
	@chmod 644 assets/incident.etcdtop

screenshots: build ## screenshots/ anew, from real runs (SVG; PNG too where rsvg-convert is installed)
	@scripts/fetch-tools demo
	@export PROTOC="$$(scripts/fetch-tools --protoc-path)"; $(CARGO) build --release --locked --example screenshots
	@$(TARGET)/release/examples/screenshots screenshots
	@if command -v rsvg-convert >/dev/null; then for f in screenshots/*.svg; do rsvg-convert "$$f" -o "$${f%.svg}.png"; done; fi

deb: build ## a Debian package of the release program, in target/
	@scripts/build-deb --binary $(TARGET)/release/etcdtop $(TARGET)

fetch: ## protoc, etcd 3.4 to 3.7 and what the tests check alerts, manifests and manual pages with, into the cache
	@scripts/fetch-tools all

rust:
	@command -v $(CARGO) >/dev/null || { echo "etcdtop needs Rust $(RUST_NEEDED) or later: install it with rustup" >&2; exit 1; }
	@found=$$($(CARGO) --version | sed 's/^cargo \([0-9.]*\).*/\1/'); \
	[ "$$(printf '%s\n%s\n' $(RUST_NEEDED) "$$found" | sort -V | head -n 1)" = $(RUST_NEEDED) ] || \
	{ echo "etcdtop needs Rust $(RUST_NEEDED) or later, this is $$found: rustup update" >&2; exit 1; }

clean: ## remove what was built here (the cache of tools stays)
	@$(CARGO) clean
