PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= out
CONSTRAINTS := -c constraints.txt
# Half of the suite's time is waiting: twice as many processes as cores, each with one thread for the networks.
PROCESSES ?= 4
PYTEST = -m pytest -n $(PROCESSES) --dist loadscope --no-loadscope-reorder --durations=15
test test-quick test-newest: export OMP_NUM_THREADS = 1

# pip itself and what builds this package come from the machine and from constraints.txt: nothing is fetched unpinned.
INSTALL = $(1)/bin/python -m pip install --quiet --disable-pip-version-check $(2) setuptools && \
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation $(2) -e '$(3)'

.PHONY: demo test test-quick test-newest soak check bench format clean

# One stamp per set of extras: a changed pyproject.toml or constraints file installs again.
$(VENV)/.demo: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(call INSTALL,$(VENV),$(CONSTRAINTS),.[render$(comma)embedded])
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(call INSTALL,$(VENV),$(CONSTRAINTS),.[test$(comma)check])
	touch $@ $(VENV)/.demo

demo: $(VENV)/.demo
	$(BIN)/skureel demo --out $(OUT)

test: $(VENV)/.test
	$(BIN)/python $(PYTEST)

# For the hand: what needs no real server and no long wait, side by side.
test-quick: $(VENV)/.test
	$(BIN)/python $(PYTEST) -q -m "not connected and not slow"

# The same suite on the newest packages that pyproject.toml allows; torch stays, see constraints.txt.
test-newest:
	$(PYTHON) -m venv $(VENV)-newest
	grep '^torch==' constraints.txt > $(VENV)-newest/torch.txt
	$(call INSTALL,$(VENV)-newest,--upgrade -c $(VENV)-newest/torch.txt,.[test$(comma)check])
	$(VENV)-newest/bin/python $(PYTEST) --deselect tests/settings/test_pins.py

# All that goes wrong, at once, for half an hour; needs the real servers (tests/README.md).
soak: $(VENV)/.test
	$(BIN)/python -m tests.soak --products $(or $(PRODUCTS),20000) --minutes $(or $(MINUTES),30)

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.imports.readability
	$(BIN)/skureel schemas --check

bench: $(VENV)/.test
	$(BIN)/python -m tests.benchmarks

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(VENV)-newest $(OUT) bench-out build *.egg-info

comma := ,
