# Two commands do all set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint types imports tests docs reference constraints clean

demo: $(INSTALLED)  ## run the whole path on the embedded corpus
	$(BIN)/folksong demo demo

test: lint types imports tests docs  ## every check that a change must pass

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

imports: $(INSTALLED)
	$(BIN)/lint-imports

tests: $(INSTALLED)  ## one thread a process: with as many processes as cores, more only wait for each other
	rm -f .coverage .coverage.*
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile --cov --cov-report=term:skip-covered --durations=15

docs: $(INSTALLED)  ## no drift of the CLI reference, the site with its notebook, the README's commands
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/cog --check docs/cli.md
	$(BIN)/python -m sphinx -b html -W --keep-going -q docs build/site
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python docs/run_commands.py README.md

reference: $(INSTALLED)  ## write the CLI reference anew
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/cog -r docs/cli.md

constraints: $(INSTALLED)  ## pin what is installed now
	$(BIN)/python -m pip freeze --exclude-editable | grep -v "^folksong" | sed 's/+cpu$$//' | LC_ALL=C sort -f > constraints.txt

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	-$(BIN)/folksong models fetch musicnn  # what tests of pretrained networks read; they skip without it
	touch $@

clean:
	rm -rf $(VENV) .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
