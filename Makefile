# Every developer command. `make` alone lists them; nothing but Python >= 3.11, a Rust toolchain and make is needed.

PYTHON ?= python3
FUZZ_SECONDS ?= 60
KILLS ?= 10000
LEASES ?= 100000
TESTERS ?= auto
NEXTEST = .ci/cargo-tool nextest 0.9.143
DENY = .ci/cargo-tool deny 0.20.2

BIN = .venv/bin
VENV = .venv/.dev-installed
BENCH_VENV = .venv/.bench-installed
DOCS_VENV = .venv/.docs-installed
BUILT = .venv/.ullage-built
EXTENSION = $(wildcard python/ullage/_core*.so)
SOURCES = Cargo.toml Cargo.lock pyproject.toml \
	$(shell find rust/ullage-core rust/ullage-python -name '*.rs' -o -name '*.toml')
say = @printf '\n== %s\n'

export PYTHON
.NOTPARALLEL:
.PHONY: help venv build browser demo test lint fmt clippy fuzz-clippy ruff mypy stubtest deny rust doctest rustdoc loom server python ray bench bench-pack bench-pack-differential score docs wheels \
	freethreaded ledger-costs kernel-costs lossless-costs pool-costs soak fuzz catalog pins format clean cargo-ready missing-extension

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | while IFS='	' read -r name text; do \
		printf '  make %-12s %s\n' "$$name" "$$text"; done

venv: $(VENV) ## make .venv with the pinned development tools

build: $(BUILT) ## build the extension into .venv, optimised and editable

# Debian's own, driven by Playwright, which would otherwise download one from its makers.
browser: ## install the Chromium that the pages of reports are tested in; without one those tests are left out
	@if command -v chromium chromium-browser google-chrome >/dev/null; then echo "there is one already"; \
	elif ! command -v apt-get >/dev/null; then echo "no apt-get here: install Chromium by hand, as \`chromium\` on the PATH"; exit 1; \
	elif [ "$$(id -u)" != 0 ]; then echo "installing needs root: run \`sudo make browser\`, or install Chromium by hand"; exit 1; \
	else apt-get -qq update && apt-get -qq -y install --no-install-recommends chromium fonts-dejavu-core; fi

demo: $(BUILT) ## run the demonstration
	@$(BIN)/ullage demo

test: lint rust doctest rustdoc loom server mypy stubtest docs python ## everything that must pass before a commit lands

lint: fmt ruff clippy fuzz-clippy deny ## the checks that run no code

fmt: cargo-ready ## check that Rust is formatted
	$(say) "cargo fmt"
	@cargo fmt --all --check
	@cargo fmt --check --manifest-path rust/ullage-fuzz/Cargo.toml

ruff: $(VENV) ## check that Python is formatted and clean
	$(say) "ruff"
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --quiet --check

clippy: cargo-ready ## check Rust for mistakes
	$(say) "cargo clippy"
	@cargo clippy --quiet --locked --all-targets -- -D warnings

# Only where they can be built: libFuzzer is C++, and nothing else here needs a C++ compiler.
fuzz-clippy: cargo-ready ## check the fuzz targets for mistakes, where there is a C++ compiler
	$(say) "cargo clippy of the fuzz targets"
	@if command -v "$${CXX:-c++}" >/dev/null; then cargo clippy --quiet --locked \
	--manifest-path rust/ullage-fuzz/Cargo.toml --target-dir target/fuzz -- -D warnings; \
	else echo "no C++ compiler: left out"; fi

deny: cargo-ready ## check licences, sources and bans of the crates
	$(say) "cargo deny"
	@$(DENY) --log-level error check bans licenses sources
	@$(DENY) --log-level error --config deny.toml --manifest-path examples/server/Cargo.toml check bans licenses sources

rust: cargo-ready ## run the Rust tests
	$(say) "cargo nextest"
	@$(NEXTEST) run --locked --cargo-quiet --status-level fail

doctest: cargo-ready ## run the examples in the Rust documentation
	$(say) "cargo test --doc"
	@cargo test --quiet --locked --doc

rustdoc: cargo-ready ## build the Rust documentation, every link resolved
	$(say) "cargo doc"
	@RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --no-deps

# Without the release profile's fat LTO, which costs minutes here and changes no interleaving.
loom: cargo-ready ## explore the interleavings of the lock-holding code
	$(say) "loom"
	@RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom CARGO_PROFILE_RELEASE_LTO=off \
		CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 cargo test --quiet --locked -p ullage-core --release --lib loom

# A workspace of its own: no wheel waits for what only it needs.
server: cargo-ready ## check the example server in Rust, and ask it over sockets
	$(say) "example server"
	@cargo fmt --check --manifest-path examples/server/Cargo.toml
	@cargo clippy --quiet --locked --all-targets --manifest-path examples/server/Cargo.toml --target-dir target/server -- -D warnings
	@cargo test --quiet --locked --manifest-path examples/server/Cargo.toml --target-dir target/server

freethreaded: cargo-ready ## run the ledger's tests without a global interpreter lock, where there is such a Python
	$(say) "free-threaded python"
	@.ci/freethreaded

mypy: $(BUILT) ## check the types of the package and its tests
	$(say) "mypy"
	@$(BIN)/mypy --no-error-summary

docs: $(BUILT) $(DOCS_VENV) ## build the documentation into target/docs, warnings as errors
	$(say) "sphinx"
	@$(BIN)/sphinx-build -q -W --keep-going -d target/doctrees docs target/docs

stubtest: $(BUILT) ## check that _core.pyi says what the extension is
	$(say) "stubtest"
	@$(BIN)/python -m mypy.stubtest --concise --allowlist tests/stubtest_allowlist.txt ullage._core

# Neighbours stay in one process, so that what a file's tests share is made once, until a process has nothing left to do.
# One thread of BLAS in each: more would spin while they wait for a processor, five times what they compute.
python: $(BUILT) ## run the Python tests, the code in README and docs among them, in TESTERS (auto) processes
	$(say) "pytest"
	@OPENBLAS_NUM_THREADS=1 $(BIN)/pytest --quiet --numprocesses $(TESTERS) --dist worksteal

ray: $(BUILT) ## run the tests that start Ray on several nodes of this machine
	$(say) "pytest on Ray"
	@$(BIN)/pytest --quiet -m cluster

bench: $(BUILT) $(BENCH_VENV) ## measure, also against other packages
	$(say) "cargo bench"
	@cargo bench --locked -p ullage-core --benches
	$(say) "pytest benches"
	@$(BIN)/pytest benches --benchmark-only

bench-pack: $(BUILT) $(BENCH_VENV) ## print ours beside the packers of PyPI on 117 instances; QUICK=1 gives each 2 s, else it takes hours
	@$(BIN)/python benches/packing.py $(if $(QUICK),--quick)

bench-pack-differential: $(BUILT) $(BENCH_VENV) ## compare our optima with those of CP-SAT, HiGHS and VPSolver, problem by problem
	@$(BIN)/python benches/packing_differential.py $(if $(PROBLEMS),--problems $(PROBLEMS))

ledger-costs: $(BUILT) $(BENCH_VENV) ## print what the ledger costs beside its targets, the floors and the peers
	@$(BIN)/python benches/ledger_costs.py

kernel-costs: $(BUILT) $(BENCH_VENV) ## print what decoding and multiplying takes beside what memory allows and the peers
	@$(BIN)/python benches/kernel_costs.py

lossless-costs: $(BUILT) $(BENCH_VENV) ## print what lossless decompression costs beside a fill and the compressors of PyPI
	@$(BIN)/python benches/lossless_costs.py

pool-costs: $(BUILT) $(BENCH_VENV) ## print what a decision costs, and a warm lease beside a look-up in the caches of PyPI
	@$(BIN)/python benches/pool_costs.py --policies
	@$(BIN)/python benches/pool_costs.py

score: $(BUILT) ## score the estimates against the truth files of ULLAGE_DATA
	$(say) "ullage score footprint"
	@test -n "$$ULLAGE_DATA" || { echo "ULLAGE_DATA does not name the folder of public data sets"; exit 1; }
	@$(BIN)/ullage score footprint --truth "$$ULLAGE_DATA/footprint_truth.csv"
	$(say) "ullage score compression"
	@$(BIN)/ullage score compression

wheels: $(VENV) cargo-ready ## build wheel and source distribution into dist/, and try the wheel in clean environments
	$(say) "wheel and source distribution"
	@.ci/venv release
	@.ci/wheels

soak: $(BUILT) ## what takes long: ten million tries for each place of a limit, KILLS (10000) kills of processes that share one, LEASES (100000) of a pool
	$(say) "ten million tries for each place of a limit"
	@cargo test --quiet --locked -p ullage-core --release --lib soak -- --ignored
	$(say) "storm of kills"
	@$(BIN)/python tests/shared_storm.py --kills $(KILLS)
	$(say) "storm of leases"
	@$(BIN)/python tests/pool_soak.py --leases $(LEASES)

fuzz: cargo-ready ## fuzz every target for FUZZ_SECONDS (60) each
	@.ci/fuzz $(FUZZ_SECONDS)

format: $(VENV) cargo-ready ## format Rust and Python in place
	@cargo fmt --all
	@cargo fmt --manifest-path rust/ullage-fuzz/Cargo.toml
	@$(BIN)/ruff check --quiet --fix-only
	@$(BIN)/ruff format --quiet

catalog: $(BUILT) ## make the GPU table anew from the pinned database and its overrides
	@.ci/venv catalog
	@$(BIN)/python .ci/gpu-catalog

# Without the bound, the first group would bring a protobuf that ortools, of the second, does not take.
pins: ## write .ci/constraints.txt anew from what pip resolves today
	@rm -rf .venv && printf 'protobuf<6.34\n' > .ci/constraints.txt && .ci/venv dev docs release bench
	@$(BIN)/pip freeze --exclude pip --exclude ullage > .ci/constraints.txt

clean: ## remove everything that these targets made
	@rm -rf .venv target rust/ullage-fuzz/target .hypothesis .mypy_cache .pytest_cache .ruff_cache .benchmarks python/ullage/_core*.so
	@find python tests benches -name __pycache__ -type d -prune -exec rm -rf {} +

cargo-ready:
	@.ci/cargo-ready

$(VENV): pyproject.toml .ci/constraints.txt .ci/venv
	$(say) "python packages into .venv"
	@.ci/venv dev model
	@touch $@

$(DOCS_VENV): $(VENV)
	$(say) "documentation tools into .venv"
	@.ci/venv docs
	@touch $@

$(BENCH_VENV): $(VENV)
	$(say) "benchmark peers into .venv"
	@.ci/venv bench arcflow
	@touch $@

# `make clean build` deletes what was there when this file was read.
ifneq ($(EXTENSION),)
$(EXTENSION): ;
endif

# The extension stands among the sources of its own stamp: deleted or built by hand since, it is built anew.
$(BUILT): $(VENV) $(SOURCES) $(or $(EXTENSION),missing-extension) | cargo-ready
	$(say) "maturin develop --release"
	@PIP_QUIET=1 VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/maturin develop --quiet --release
	@touch $@

missing-extension:
