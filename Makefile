# The project's daily commands. `make help` lists them; each is a script that also runs alone.
#
# Nothing needs to be installed first but Python 3.11+, a C compiler and cargo (Rust 1.85+): `setup`
# makes the virtual environment, gets Debian's packages where it may, and builds Rust and Cython.

PYTHON ?= python3
VENV := .venv
STAMP := build/setup.stamp

# What the compiled modules and the environment are made from; anything newer than the stamp builds.
SOURCES := pyproject.toml ci/versions.txt ci/build ci/build_backend.py \
	$(shell find rust cython -type d \( -name target -o -name corpus -o -name artifacts \) -prune \
	  -o -type f \( -name '*.rs' -o -name 'Cargo.*' -o -name '*.pyx' -o -name '*.pxd' \) -print)

.PHONY: help setup demo test check soak bench clean
.DEFAULT_GOAL := help

help: ## Say what each target does
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv with everything in it and build Rust and Cython (quick when up to date)

$(STAMP): $(SOURCES)
	@PYTHON=$(PYTHON) ci/build
	@mkdir -p $(@D) && touch $@

demo: $(STAMP) ## Start a receiver, send it real DICOM files, show what arrived and check every byte
	@$(VENV)/bin/python demo/run.py

test: $(STAMP) ## Run the tests: Rust's, then Python's (with DCMTK as peer where it is installed)
	@ci/test

check: $(STAMP) ## Do all that CI does: lint, types, layers, generated files, fuzz smoke, then the tests
	@ci/check
	@$(MAKE) --no-print-directory test

soak: $(STAMP) ## Kill the archive and cut its power many more times than the tests do (an hour or so)
	@cd rust && PATH="$$PATH:$$HOME/.cargo/bin" DCMFAST_SOAK=1 cargo test --release -p dcmfast-core \
	  --test area_faults --test area_model
	@DCMFAST_SOAK=1000 $(VENV)/bin/python -m pytest tests/storage/test_archive_faults.py

bench: $(STAMP) ## Compare with DCMTK, Orthanc, pynetdicom and the machine's limit; writes benchmarks/results/
	@ci/bench_peers
	@$(VENV)/bin/python benchmarks/run.py

clean: ## Remove the environment and everything built
	rm -rf $(VENV) build dist rust/target rust/fuzz/target benchmarks/tools/target \
	  .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find python -name '*.so' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
