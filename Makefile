# Everything runs in .venv, made from pyproject.toml and the pins in constraints/.
PYTHON ?= python3.11
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d%d" % sys.version_info[:2])')
PINS := constraints/py$(VERSION).txt
PY := .venv/bin/python
INSTALLED := .venv/.installed
BENCH_PINS := constraints/bench-py$(VERSION).txt
BENCH_INSTALLED := .venv-bench/.installed

# Compiled programs are kept between runs; results do not depend on it.
export JAX_COMPILATION_CACHE_DIR := $(CURDIR)/.cache/jax

DEMO := runs/demo

.PHONY: install demo report test test-all slurm-test check format kill-test bench bench-install clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml $(PINS)
	$(PYTHON) -m venv .venv
	PIP_CONSTRAINT=$(PINS) $(PY) -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

demo: $(INSTALLED)
	$(PY) train_parallel.py --env_name cartpole-swingup --num_seeds 3 --updates_per_step 4 \
	  --max_steps 6000 --start_training 1000 --eval_interval 1000 --eval_episodes 5 \
	  --set agent.actor.network.hidden=128,128 \
	  --set agent.critic.network.hidden=128,128 --save_dir $(DEMO)
	$(PY) scripts/check_demo.py $(DEMO) --multiple 4

# The index of results/: open results/index.html in a browser. Runs that differ in one setting only
# have one experiment's name in their rows and get another one here.
CURVES := results/sr_sac-finger-spin-rr8 results/sr_sac-walker-walk-rr8 \
  results/sr_sac-walker-walk-rr8-more \
  results/resets-cartpole-swingup results/td3-cartpole-swingup results/ddpg-cartpole-swingup \
  hindsight=results/her-bit-flip/future no_hindsight=results/her-bit-flip/none \
  hindsight=results/her-fetch-reach/future no_hindsight=results/her-fetch-reach/none \
  prioritized=results/per-chain/prioritized uniform=results/per-chain/uniform \
  prioritized=results/per-cartpole-swingup/prioritized uniform=results/per-cartpole-swingup/uniform \
  results/cheetah-run-equal-frames/xqc results/cheetah-run-equal-frames/sac \
  results/cheetah-run-equal-frames/bro_fast results/cheetah-run-equal-frames/sac_rr2 \
  results/cheetah-run-equal-frames/simba_v2
report: $(INSTALLED)
	$(PY) scripts/report.py $(CURVES) --title "Results of this repository" --out results/index.html

check: $(INSTALLED)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

# Most of a test is compilation, and programs this small are as fast without XLA's optimisations: a
# third less time. `test-all` compiles what runs compile.
test: check
	XLA_FLAGS="$$XLA_FLAGS --xla_backend_optimization_level=0" \
	  $(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder \
	  -m "not slow and not gpu and not slurm"

test-all: check
	$(PY) -m pytest

# Two nodes on this machine; says why if Slurm is not there.
slurm-test: $(INSTALLED)
	$(PY) -m pytest -rs tests/test_slurm.py

format: $(INSTALLED)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

kill-test: $(INSTALLED)
	$(PY) scripts/kill_test.py --kills 5 -- --env_name cheetah-run --preset sac --num_seeds 2 \
	  --max_steps 2500 --start_training 1000 --eval_interval 500 --eval_episodes 2 \
	  --checkpoint_freq 200

# Measures everything; BENCH takes flags, for instance BENCH='--quick --only limit'.
BENCH ?= --out runs/benchmark.json
bench: $(INSTALLED)
	mkdir -p runs
	$(PY) scripts/benchmark.py $(BENCH)

# The library that `make bench` compares with, in an environment of its own.
bench-install: $(BENCH_INSTALLED)

$(BENCH_INSTALLED): pyproject.toml $(BENCH_PINS)
	$(PYTHON) -m venv .venv-bench
	PIP_CONSTRAINT=$(BENCH_PINS) .venv-bench/bin/python -m pip install --quiet \
	  --disable-pip-version-check -e '.[bench]'
	touch $@

clean:
	rm -rf .venv .venv-bench .cache build rr_scale.egg-info
