# `make run` and `make test` need Python >= 3.11, make and a C compiler; they set up the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export NUMBA_CACHE_DIR ?= $(CURDIR)/.cache/numba
export OMP_NUM_THREADS ?= 1

.PHONY: run test check slow pack clean

run: $(VENV)/ready
	$(BIN)/nacbench run suites/speech.yaml

test: check
	$(BIN)/pytest -m "not slow" -n 2 --dist loadgroup

check: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

slow: $(VENV)/ready
	$(BIN)/pytest -m slow

pack: $(VENV)/ready # needs speech engines and a sound font: docs/embedded-pack.md
	$(BIN)/python -m nacbench.pack.rebuild

# Codecs that tests run beside ours. Their networks need PyTorch alone, their pins are outdated.
PEERS := descript-audio-codec encodec nemo_toolkit

# torch goes first and alone: any looser request would fetch gigabytes of CUDA libraries.
$(VENV)/ready: pyproject.toml constraints.txt .ci/system-packages
	.ci/system-packages
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[all,dev]"
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps $(PEERS)
	touch $@

clean:
	rm -rf $(VENV) .cache
