# The front door. `make m2` and `make test` each work alone on a fresh clone; `make help` lists the rest.
PYTHON ?= python3
VENV ?= .venv
# Named after what is installed, so that it is built again when and only when requirements.txt changes.
DONE := $(VENV)/.done-$(shell sha256sum requirements.txt | cut -c1-12)
export PATH := $(abspath $(VENV))/bin:$(PATH)
export NLTK_DATA ?= $(abspath .nltk_data)
export TOKENIZERS_PARALLELISM = false

GROUPS = $(if $(BACKBONE),--backbone $(BACKBONE)) $(if $(DATA),--data $(DATA)) \
	$(if $(ENGINE),--engine $(ENGINE)) $(if $(JUDGE),--judge $(JUDGE)) $(if $(SCALE),--scale $(SCALE)) \
	$(if $(HARDWARE),--hardware $(HARDWARE))
REPRO = python -m stages.repro $(if $(JOBS),--jobs $(JOBS))

.DEFAULT_GOAL := help
.PHONY: help setup setup-gpu setup-vllm setup-sglang setup-bench plan m0 m1 m2 tables judge analyses report \
	human-eval backbone skills study bench bench-gpu test lint clean

help:  ## list the targets
	@grep -hE '^[a-z0-9% -]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(DONE)  ## build .venv from requirements.txt, put WordNet and punkt_tab in place

$(DONE):
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(v != (3, 11) and f"Python 3.11 is needed, this is {v[0]}.{v[1]}: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --requirement requirements.txt
	$(VENV)/bin/python -m stages.scoring.wordnet
	$(VENV)/bin/python -m stages.benchmarks.sentences
	touch $@

# Servers for a GPU in environments of their own: their torch is not the one that LLaMA-Factory wants.
setup-vllm setup-sglang: setup-%:  ## build .venv-vllm or .venv-sglang for ENGINE=vllm or ENGINE=sglang (a GPU)
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --requirement requirements-$*.txt

setup-gpu: setup  ## DeepSpeed and bitsandbytes besides, for HARDWARE=gpus-zero2, gpus-zero3, qlora24
	$(VENV)/bin/python -m pip install --quiet --requirement requirements.txt --requirement requirements-gpu.txt

m0 m1 m2 m3 m4 m5: setup  ## the pipeline up to this model; BACKBONE= DATA= SCALE= ENGINE= JUDGE= HARDWARE= SET= NAME= JOBS=
	@python -m stages.experiment $@ $(GROUPS) $(if $(JOBS),--jobs $(JOBS)) --name "$(NAME)" --set $(SET)

plan: setup  ## what a run would take: contexts, tokens, hours, memory, disk; the same variables
	@python -m stages.plan $(GROUPS) --set $(SET)

tables: setup  ## every model of the paper's tables 2 to 5, figures 5 and 6 (long); the same variables
	@python -m stages.experiment $@ $(GROUPS) $(if $(JOBS),--jobs $(JOBS)) --name "$(NAME)" --set $(SET)

judge: setup  ## let a judge score and compare what the models answered (who: make m2 JUDGE=server, then this)
	$(REPRO) judging/dvc.yaml

# The table is no DVC stage: it is made of whatever metrics files there are.
analyses: setup  ## relevance, phrases, inference, further test sets of the models in params.yaml; a table
	$(REPRO) analyses/dvc.yaml
	python -m stages.iterations --out metrics/iterations.json --table metrics/iterations.csv --plots metrics/iterations

# No DVC stage either, and for the same reason.
report: setup  ## all that was measured on one page, metrics/report/index.html; REVS="m2 llama3-paper-m2"
	python -m stages.iterations --out metrics/iterations.json --table metrics/iterations.csv --plots metrics/iterations
	python -m stages.human_report --exports ratings/exports --out metrics/human
	python -m stages.report --out metrics/report --revs $(REVS)

# Ratings lie in ratings/ (or in DATABASE), which nothing here ever deletes. PRETEND=1: no models, to try a study.
human-eval: setup  ## people rate models: MODELS="m0 m1 m2" STUDY= PORT= HOST= URL= DATABASE= PRETEND=1
	@python -m stages.human_eval_serve --study $(or $(STUDY),studies/pointwise.yaml) \
		$(if $(MODELS),--models $(MODELS)) $(if $(PORT),--port $(PORT)) $(if $(HOST),--host $(HOST)) \
		$(if $(URL),--url $(URL)) $(if $(DATABASE),--database $(DATABASE)) $(if $(PRETEND),--rehearse)

# DVC works in backbones/trained/ and .scratch/; the weights in backbones/tiny/ are replaced when all is done.
backbone: setup  ## train the tiny backbone in backbones/tiny/ anew (long; killed and started again it goes on)
	dvc repro backbones/dvc.yaml:tiny
	rm -rf backbones/.tiny && cp -r backbones/trained backbones/.tiny
	rm -rf backbones/tiny && mv backbones/.tiny backbones/tiny
	@echo "backbones/tiny holds the weights now; git checkout backbones/tiny brings back the ones in Git"

skills: setup  ## examine the tiny backbone in what its card says it can do
	dvc repro backbone
	python -m stages.skills --policy models/backbone --recipe backbones/params.yaml --out metrics/backbone/skills.json

# Not a DVC stage: DVC would delete the committed tables before it begins. It keeps track by itself.
study: setup  ## the method over five seeds with its controls, tested (an hour or more; goes on where it was)
	dvc repro prepare backbone
	python -m stages.study --out metrics/study

bench: setup setup-bench  ## measure the engine beside others, metrics/bench.json (15 minutes); ONLY="respond growth"
	python -m stages.bench --out metrics/bench.json $(if $(ONLY),--only $(ONLY))

# What the engine is measured against, apart from what the project needs; it shares .venv's torch.
setup-bench: setup  ## build .venv-bench with distilabel
	$(PYTHON) -m venv .venv-bench
	echo $(abspath $(VENV))/lib/python3.11/site-packages > .venv-bench/lib/python3.11/site-packages/base.pth
	.venv-bench/bin/python -m pip install --quiet --no-deps --requirement requirements-bench.txt

bench-gpu: setup  ## an 8B model on a CUDA GPU: generation, SFT, DPO, 40 GB; ONLY="dpo engine"
	python -m stages.bench_gpu --out metrics/bench.json $(if $(ONLY),--only $(ONLY))

test: setup lint  ## ruff, unit tests and one run of the whole pipeline in a temporary clone
	python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: setup  ## ruff
	ruff check .
	ruff format --check .

# What a judge has answered stays: it may have been paid for.
clean:  ## remove work in progress (.scratch); outputs, DVC's cache and a judge's answers stay
	if [ -d .scratch ]; then find .scratch -mindepth 1 -maxdepth 1 ! -name judge -exec rm -rf {} +; fi
