# Two commands matter: `make demo` and `make test`. Both set up their own environment in .venv.
PYTHON ?= python3
VENV ?= .venv
# Test processes; each takes whole files, and has a small cluster of its own.
JOBS ?= 2
WITHOUT_TORCH = tests/catalog tests/volume tests/imaging tests/store tests/build tests/files tests/fve_kernels \
	tests/metrics tests/evaluation tests/look tests/runtime
PYTEST = $(PY) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo check test test-all durations bench lint docs changelog min-deps mutate wheel clean

$(VENV)/.core: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("fve_pipeline needs Python 3.11 or later; found %d.%d. Run: make PYTHON=python3.11" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e ".[report]"
	touch $@

$(VENV)/.test: $(VENV)/.core
	$(PIP) -e ".[train,report,s3,coreset,dashboard,test,docs]"
	touch $@

$(VENV)/.docs: $(VENV)/.core
	$(PIP) -e ".[train,report,s3,docs]"
	touch $@

demo: $(VENV)/.core
	$(PY) -m fve_pipeline demo --out demo

lint: $(VENV)/.test
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

# The inner loop: what needs neither Dask, torch nor another process.
check: lint
	$(PYTEST) -q --quick -m "not slow" -rfE

test: lint
	$(PYTEST) -m "not slow"

test-all: lint
	$(PYTEST)

# On a quiet machine: how long each test takes, which orders them and is held to its bounds by the suite.
durations: $(VENV)/.test
	$(PYTEST) -q -m "not slow" --record-durations

# The quick form of every benchmark; a JSON a run is kept in bench/, and what moved against the last is printed.
bench: $(VENV)/.test
	$(PY) tools/bench.py

docs: $(VENV)/.docs
	$(PY) -m sphinx --fail-on-warning --keep-going -q -b html docs site

# At a release: writes changes/ into CHANGELOG.md.
changelog:
	$(PYTHON) tools/changelog.py

# The oldest versions that pyproject.toml allows, in an environment of its own; all but what needs torch.
min-deps:
	$(PYTHON) -m venv build/oldest
	$(PYTHON) tools/oldest.py > build/oldest.txt
	build/oldest/bin/pip install --quiet --disable-pip-version-check -c build/oldest.txt \
		-e ".[report,s3,coreset,dashboard]" pytest pytest-timeout pytest-xdist hypothesis \
		"moto[server]" tensorstore scikit-image zarrs
	build/oldest/bin/python -m pytest -n $(JOBS) --dist loadfile -q -m "not slow" -W default $(WITHOUT_TORCH)

# Lines broken one at a time in the modules that promise most, and whether a test notices.
mutate: $(VENV)/.test
	$(PY) tools/mutate.py

# The sdist and the wheel, the wheel built from the sdist, as an index would have them.
wheel:
	$(PYTHON) -m venv build/venv
	build/venv/bin/pip install --quiet --disable-pip-version-check build
	build/venv/bin/python -m build --outdir dist .

clean:
	rm -rf $(VENV) demo build dist site
