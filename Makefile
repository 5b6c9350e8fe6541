# Two commands are enough: `make demo` and `make test`. Each makes .venv where it is missing.
PYTHON ?= python3
# The tested versions of the dependencies; constraints-lowest.txt has the lowest that are declared.
CONSTRAINTS ?= constraints.txt
# With the lowest versions leave out lm, onnx and neighbours, which need newer versions of other packages.
EXTRAS ?= all,lm,onnx,neighbours,test,lint
# Further arguments of pytest, such as PYTEST="-W default" or PYTEST="-k laws".
PYTEST ?=
BIN := .venv/bin
STAMP := .venv/.installed

# Tests and examples on real data read DISTEMBED_DATA, and are skipped where it is unset.
ifeq ($(origin DISTEMBED_DATA), undefined)
ifneq ($(wildcard ../shared/data/.),)
export DISTEMBED_DATA := $(abspath ../shared/data)
endif
endif

# Byte code is kept: without it every process of the tests compiles the package again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install docs demo test test-docs test-slow test-gpu check dist

install: $(STAMP)

$(STAMP): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c $(CONSTRAINTS) -e '.[$(EXTRAS)]'
	touch $@

# Train on real scanned digits, evaluate on held-out sets, and write demo_output/report.html.
demo: $(STAMP)
	$(BIN)/distembed demo --out demo_output

# Two processes of one thread each: torch's own threads would fight over the cores. A file stays in
# one process, which makes its fixtures once.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist loadfile -m "not slow" --durations=25 $(PYTEST)

# The code of README.md, of docs/ and of the docstrings.
test-docs: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 tests/api

test-slow: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist loadfile --timeout 1200 -m slow

test-gpu: $(STAMP)
	DISTEMBED_GPU=1 $(BIN)/pytest -q tests/model/test_cuda.py

# The site, in site/: all pages of docs/ and the reference of the public names. A warning is an error.
docs: $(STAMP)
	$(BIN)/pip install --quiet -c $(CONSTRAINTS) '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# A wheel and a source archive in dist/; the wheel is installed alone and imported. With TAG=v1.2.3
# the version has to be that of the tag.
dist: $(STAMP)
	rm -rf dist
	test -z "$$TAG" || test "$$TAG" = "v$$($(BIN)/hatchling version)"
	$(BIN)/hatchling build
	$(PYTHON) -m venv dist/check
	dist/check/bin/pip install --quiet --no-deps dist/*.whl
	cd dist && check/bin/python -c "import distembed; print(distembed.__version__)"
	rm -rf dist/check
