# `make run` and `make test` need Python >= 3.11, make and a C compiler; they set up the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export NUMBA_CACHE_DIR ?= $(CURDIR)/.cache/numba
export OMP_NUM_THREADS ?= 1

.PHONY: run test check slow results pack clean

run: $(VENV)/ready
	$(BIN)/nacbench run suites/speech.yaml

test: check
	$(BIN)/pytest -m "not slow" -n 2 --dist loadgroup

check: $(VENV)/peers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

slow: $(VENV)/peers
	$(BIN)/pytest -m slow -n 2 --dist loadgroup

# The committed leaderboards. The recordings come from NACBENCH_DATA or 'nacbench data fetch'.
SUITES := speech noisy_speech music real/speech real/noisy_speech real/music
results: $(VENV)/ready
	for suite in $(SUITES); do \
	    name=results/$$(echo $$suite | tr / _); \
	    $(BIN)/nacbench run suites/$$suite.yaml || exit; \
	    $(BIN)/nacbench report $$name --out $$name || exit; \
	    cp $$(ls -td $$name/*/ | head -1)manifest.json $$name/; \
	done

pack: $(VENV)/ready # needs speech engines and a sound font: docs/embedded-pack.md
	$(BIN)/python -m nacbench.pack.rebuild

# torch goes first and alone: any looser request would fetch gigabytes of CUDA libraries.
$(VENV)/ready: pyproject.toml constraints.txt .ci/system-packages
	.ci/system-packages
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[all,dev]"
	touch $@

# Codecs that tests run beside ours. Their networks need PyTorch alone, their pins are outdated.
PEERS := descript-audio-codec encodec nemo_toolkit speechtokenizer
$(VENV)/peers: $(VENV)/ready
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps $(PEERS)
	touch $@

clean:
	rm -rf $(VENV) .cache
