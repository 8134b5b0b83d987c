"""The benchmarks: rows and definitions of their tasks, how answers are scored, errors of scores."""

import json
import math
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfevolve.benchmarks.catalogue import BENCHMARKS, SMOKE_FOLDER
from selfevolve.benchmarks.report import clustered_error
from selfevolve.benchmarks.tasks import leaves, load_tasks
from tests.benchmarks.smoke_rules import rows
from tests.support.benchmark_rows import PAPER, SMOKE


def test_smoke_rows_follow_the_stated_rules():
    for name, items in rows().items():
        lines = (SMOKE_FOLDER / name).read_text(encoding="utf-8").splitlines()
        assert [json.loads(line) for line in lines] == items
        assert len({json.dumps(item) for item in items}) == len(items)
    assert all(len(set(item["choices"])) == 4 for item in rows()["opposites.jsonl"])
    assert {item["label"] for item in rows()["opposites.jsonl"]} == {0, 1, 2, 3}


def test_right_answers_to_the_smoke_tasks_score_100(tmp_path):
    import lm_eval
    from lm_eval.api.model import LM

    class Oracle(LM):
        def generate_until(self, requests, **_):
            return [f" {request.doc['answer']} " for request in requests]

        def loglikelihood(self, requests, **_):
            right = [request.doc["choices"][request.doc["label"]] for request in requests]
            return [
                (0.0 if request.args[1].strip() == word else -9.0, True)
                for request, word in zip(requests, right, strict=True)
            ]

        def loglikelihood_rolling(self, requests, **_):
            raise NotImplementedError

    manager, built = load_tasks(SMOKE, None, tmp_path)
    results = lm_eval.simple_evaluate(
        Oracle(), tasks=list(built.values()), task_manager=manager, bootstrap_iters=0
    )
    for name in SMOKE:
        assert results["results"][name][BENCHMARKS[name].headline] == 1.0


def test_only_the_data_set_of_a_definition_is_replaced(data_dir, tmp_path):
    import lm_eval.tasks
    from lm_eval.tasks._yaml_loader import load_yaml

    _, built = load_tasks(PAPER, data_dir, tmp_path / "work")
    folder = Path(lm_eval.tasks.__file__).parent
    originals = {name: folder / BENCHMARKS[name].definition for name in PAPER if not BENCHMARKS[name].members}
    originals |= {path.stem: path for path in (folder / "mmlu_pro").glob("mmlu_pro_*.yaml")}
    tasks = {task.task_name: task for group in built.values() for task in leaves(group)}
    assert set(tasks) == set(originals)
    for name, task in tasks.items():
        ours, theirs = task.dump_config(), load_yaml(originals[name], resolve_func=False)
        for key in (
            "doc_to_text",
            "doc_to_target",
            "num_fewshot",
            "generation_kwargs",
            "test_split",
            "description",
        ):
            if isinstance(theirs.get(key), str | int | dict) and "utils." not in str(theirs[key]):
                assert ours[key] == theirs[key], (name, key)
        assert str(task.VERSION) == str(theirs["metadata"]["version"])
        assert len(task.eval_docs) > 0


@given(st.lists(st.booleans(), min_size=2))
def test_error_of_single_answers_is_that_of_a_mean(values):
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    expected = math.sqrt(variance / len(values))
    assert clustered_error([[value] for value in values]) == pytest.approx(expected, abs=1e-12)


def test_error_of_clusters_is_that_of_resampling():
    draw = random.Random(1)
    clusters = [[draw.random() < level] * draw.choice([1, 2, 3]) for level in [0.3, 0.6] * 100]
    shares = []
    for _ in range(4000):
        sample = draw.choices(clusters, k=len(clusters))
        shares.append(sum(map(sum, sample)) / sum(map(len, sample)))
    mean = sum(shares) / len(shares)
    resampled = math.sqrt(sum((share - mean) ** 2 for share in shares) / len(shares))
    assert clustered_error(clusters) == pytest.approx(resampled, rel=0.05)
    assert clustered_error(clusters[:1]) is None
