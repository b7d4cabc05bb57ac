# One command per intent. `make demo` and `make test` are all a fresh machine needs; the others are parts of them.
PYTHON ?= python3
PYTHONS ?= python3.11 python3.12 python3.13 python3.14
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO_STAMP := $(VENV)/.demo
FLOORS := .venv-floors
TOOLS := .venv-tools
CLIENTS := .venv-clients
CLUSTER := .venv-cluster
COREML := .venv-coreml
CHECK_CLIENTS := PACKAGE_PYTHON=$(abspath $(BIN)/python) $(abspath $(CLIENTS)/bin/python) -m pytest
SECURITY_TESTS := tests/attacks tests/data/test_archive.py tests/data/test_decode.py tests/data/test_parquet.py \
	tests/data/test_remote.py tests/test_inputs.py tests/test_network.py tests/test_screen.py -m "not slow"
# A process for each core, each with one thread of arithmetic that does not spin while it waits. Everyday tests go to
# whichever process is free; of the slow ones, a file stays in one process, so that its demonstration is made once.
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n auto --dist

.PHONY: install demo test test-slow test-floors hashes sbom quick explore coverage check format pages parity clients cluster coreml serving fuzz siege bench peers gpu gpu-train wheel docs gallery clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	@echo "Installing all packages into $(VENV), torch, OpenVINO and NNCF among them: this downloads about 840 MB, gigabytes more if torch comes with CUDA, and takes minutes."
	$(BIN)/python -m pip install --quiet --progress-bar on --constraint constraints.txt --editable '.[dev]'
	touch $(DEMO_STAMP) $@

demo: $(DEMO_STAMP)
	$(BIN)/xception demo --out demo --overwrite

# What the demonstration uses; where everything is installed, it is there already.
$(DEMO_STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	@echo "Installing what the demonstration uses into $(VENV), torch and OpenVINO among it: this downloads about 410 MB, gigabytes more if torch comes with CUDA, and takes minutes."
	$(BIN)/python -m pip install --quiet --progress-bar on --constraint constraints.txt --editable '.[demo]'
	touch $@

# Without what takes minutes: the demonstration, and training that is killed.
test: check
	$(PYTEST) worksteal -m "not slow" $(ARGS)

test-slow: $(STAMP)
	$(PYTEST) loadfile -m slow $(ARGS)

# The tests of what comes from outside, with the oldest versions that pyproject.toml allows of the packages that had holes.
test-floors: $(FLOORS)/.installed
	PYTHONPATH=src OMP_NUM_THREADS=1 $(FLOORS)/bin/python -m pytest $(SECURITY_TESTS) $(ARGS)

$(FLOORS)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(FLOORS)
	$(PYTHON) -m tests.floors > $(FLOORS)/floors.txt
	$(FLOORS)/bin/python -m pip install --quiet --constraint $(FLOORS)/floors.txt --editable '.[dev]'
	touch $@

# The versions of constraints.txt with the hashes of their files, for `pip install --require-hashes --no-deps`.
hashes: $(TOOLS)/.installed
	$(TOOLS)/bin/uv pip compile --quiet --python-version 3.11 --no-deps --generate-hashes --no-annotate --no-header \
		--output-file constraints-hashed.txt constraints.txt

# All packages of the environment with their versions and licences, as CycloneDX.
sbom: $(STAMP) $(TOOLS)/.installed
	mkdir -p build
	$(TOOLS)/bin/cyclonedx-py environment $(BIN)/python --output-reproducible --output-file build/sbom.cdx.json

$(TOOLS)/.installed: Makefile
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet build==1.6.1 cyclonedx-bom==7.5.0 mkdocs-material==9.8.2 'mkdocstrings[python]==1.0.8' uv==0.13.9
	touch $@

# The server with Triton's, KServe's and MLPerf's clients, a browser and slow clients, in an environment of their own.
# Of the system it takes chromium, haproxy and slowhttptest; what needs one that is not installed is left out, and named.
# Triton's and KServe's clients define the same gRPC messages, which one process cannot load twice.
clients: $(STAMP) $(CLIENTS)/.installed docs
	cd tests/clients && $(CHECK_CLIENTS) --ignore check_triton.py $(ARGS)
	cd tests/clients && $(CHECK_CLIENTS) check_triton.py $(ARGS)

$(CLIENTS)/.installed: tests/clients/requirements.txt
	$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/python -m pip install --quiet --requirement $<
	touch $@

# The programs of docs/how-to/coreml.md, with coremltools in an environment of its own.
coreml: $(STAMP) $(COREML)/.installed
	cd tests/coreml && PACKAGE_PYTHON=$(abspath $(BIN)/python) $(abspath $(COREML)/bin/python) -m pytest $(ARGS)

$(COREML)/.installed: tests/coreml/requirements.txt
	$(PYTHON) -m venv $(COREML)
	$(COREML)/bin/python -m pip install --quiet --requirement $<
	touch $@

# Predictions on a Ray cluster of two nodes and in object storage, through failures of both, in an environment of their own.
cluster: $(STAMP) $(CLUSTER)/.installed
	cd tests/cluster && PACKAGE_PYTHON=$(abspath $(BIN)/python) $(abspath $(CLUSTER)/bin/python) -m pytest $(ARGS)

$(CLUSTER)/.installed: tests/cluster/requirements.txt pyproject.toml constraints.txt
	$(PYTHON) -m venv $(CLUSTER)
	$(CLUSTER)/bin/python -m pip install --quiet --constraint constraints.txt --requirement $< --editable '.[cloud,onnx,ray]'
	touch $@

# The tests of what was changed since main, and the rules that hold for all code.
quick: $(STAMP)
	$(PYTEST) worksteal -m "not slow" $$($(BIN)/python -m tests.quick) $(ARGS)

# The property tests on other examples each time, and on ten times as many.
explore: $(STAMP)
	$(PYTEST) worksteal -m hypothesis --hypothesis-profile explore $(ARGS)

coverage: $(STAMP)
	$(PYTEST) loadfile --cov --cov-report=term $(ARGS)

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Against the sources' own frameworks, each in an environment of its own. Sources without a package are checkouts:
# make parity ARGS="--paddleclas DIR --tstandley DIR --face-classification DIR --mindspore-models DIR"
parity: $(STAMP)
	$(BIN)/python -m parity.run $(ARGS)

fuzz: $(STAMP)
	$(BIN)/python tests/fuzz/fuzz_readers.py --cases 100000
	$(BIN)/python -m tests.fuzz.fuzz_inputs --cases 10000
	$(BIN)/python -m tests.fuzz.fuzz_server --requests 100000

# Training runs that are killed, find the disk full or their checkpoints broken, and end as if nothing had been; writers
# of bundles and data that are killed, with the old or the new at its place each time; and predictions in shards whose
# workers, drivers and disks fail, with every image once.
siege: $(STAMP)
	$(BIN)/python -m tests.attacks.kill_training --runs 100
	$(BIN)/python -m tests.attacks.kill_writing --kills 200
	$(BIN)/python -m tests.attacks.kill_batch --runs 50

bench: $(STAMP)
	$(BIN)/python benchmarks/run.py

# Compared with timm, Keras, ONNX Runtime and OpenVINO, in turn: make peers ARGS="--photos FOLDER"
peers: $(STAMP)
	$(BIN)/python -m benchmarks.peers $(ARGS)

# The server judged part by part, under ten times its load among others: make serving ARGS="--only overload --seconds 20"
serving: $(STAMP)
	$(BIN)/python -m benchmarks.serving_acceptance $(ARGS)

# Where there is a GPU that torch can use; each ends within five minutes.
gpu: $(STAMP)
	$(BIN)/python -m benchmarks.gpu $(ARGS)

# With accuracy on CIFAR-10: make gpu-train ARGS="--data 'cifar10-train-{000000..000008}.tar' --validation FILE"
gpu-train: $(STAMP)
	$(BIN)/python -m benchmarks.gpu_train $(ARGS)

# All pages and tables that are made from the code, after a change of a variant, a recipe, published weights ...
pages: $(STAMP)
	$(BIN)/python -m pages

# The wheel and the source archive, and a try of the wheel in environments that have nothing else: one for each Python of
# PYTHONS that is installed here, and for the one that make uses.
wheel: $(TOOLS)/.installed
	rm -rf dist build/wheel-venv
	$(TOOLS)/bin/python -m build --outdir dist .
	set -e; for python in $(PYTHON) $(PYTHONS); do \
		$$python --version > /dev/null 2>&1 || { echo "$$python is not installed here: not tried"; continue; }; \
		$$python -m venv --clear build/wheel-venv; \
		build/wheel-venv/bin/python -m pip install --quiet --constraint constraints.txt dist/*.whl; \
		build/wheel-venv/bin/python tests/try_wheel.py; \
	done

# The manual as a site in build/site; a dead link ends it. To read it with its search: python3 -m http.server -d build/site
docs: $(TOOLS)/.installed
	NO_MKDOCS_2_WARNING=1 $(TOOLS)/bin/mkdocs build --quiet --clean

# Pictures of the pages of results, by a real browser.
gallery: $(STAMP) $(CLIENTS)/.installed
	PACKAGE_PYTHON=$(abspath $(BIN)/python) $(CLIENTS)/bin/python -m pages.gallery $(ARGS)

clean:
	rm -rf $(VENV) $(FLOORS) $(TOOLS) $(CLIENTS) $(CLUSTER) $(COREML) demo build dist .coverage .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
