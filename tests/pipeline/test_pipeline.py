"""The README's commands in a clone of this tree: the real pipeline, from raw dialogues to M2 and M1."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

MODELS = ("vanilla", "m0", "m1", "m2")
# Steps of evaluation divide the steps of all three trainings still: 16 of SFT, 8 of DPO.
SMALLER = {
    "num_train_epochs: 2.0": "num_train_epochs: 1.0",
    "dialogue_limit: 150": "dialogue_limit: 100",
    "alpaca_items: 60\n": "alpaca_items: 40\n",
    "part_limit: 100": "part_limit: 70",
}
pytestmark = pytest.mark.slow


class Clone:
    """A copy of this working tree as a repository of its own, using this environment."""

    def __init__(self, folder: Path):
        self.folder = folder
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split("\n")
        made = ("metrics/", "dvc.lock")  # of runs in this tree
        for name in filter(None, listed):
            if not name.startswith(made) and (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "start"]):
            self.run("git", "-c", "user.name=t", "-c", "user.email=t@localhost", *command)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the clone with this environment's programs first."""
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "NLTK_DATA": str(ROOT / ".nltk_data"),
            "GIT_AUTHOR_NAME": "t",
            "GIT_AUTHOR_EMAIL": "t@localhost",
            "GIT_COMMITTER_NAME": "t",
            "GIT_COMMITTER_EMAIL": "t@localhost",
        }
        environment.pop("OMP_NUM_THREADS", None)  # as a user runs it
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, f"{command}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        return done

    def make(self, target: str, **variables: str) -> str:
        """Run make with this environment in place of .venv; return what it printed."""
        settings = [f"{name}={value}" for name, value in {"VENV": sys.prefix, **variables}.items()]
        return self.run("make", target, *settings).stdout

    def read(self, path: str) -> Any:
        """A metrics file of the clone."""
        return json.loads((self.folder / path).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone whose trainings take one epoch, of fewer samples: they are most of a run's minutes."""
    clone = Clone(tmp_path_factory.mktemp("clone"))
    params = clone.folder / "params.yaml"
    text = params.read_text()
    for setting, smaller in SMALLER.items():
        assert setting in text
        text = text.replace(setting, smaller)
    params.write_text(text)
    clone.run("git", "commit", "-qam", "shorter trainings")
    return clone


@pytest.fixture(scope="module")
def made_m2(clone: Clone) -> str:
    return clone.make("m2")


def test_make_m2_ends_with_a_table_of_all_models_in_both_protocols(made_m2: str):
    for protocol in ("paper protocol", "standard protocol", "capability"):
        table = made_m2[made_m2.rindex(protocol) :].split("\n\n")[0]
        rows = {line.split()[0]: line.split()[1:] for line in table.splitlines() if line[:1].isalpha()}
        for model in MODELS:
            cells = rows[model]
            assert len(cells) == (4 if protocol == "capability" else 10), table
            assert all(re.fullmatch(r"\d+\.\d\d", cell) for cell in cells), table
    assert "not run" not in made_m2


def test_it_starts_from_the_shipped_weights_and_leaves_them_as_they_are(clone: Clone, made_m2: str):
    assert "testbed.pretrain" not in made_m2
    assert clone.run("git", "status", "--short", "testbed/tiny").stdout == ""
    status = json.loads(clone.run("dvc", "status", "--json").stdout)
    assert not [change for changes in status.values() for change in changes if "testbed/tiny" in str(change)]


def test_the_test_dialogues_are_at_least_a_hundred_and_held_out(clone: Clone, made_m2: str):
    splits = clone.read("metrics/corpora.json")["splits"]
    assert splits["rule"] == "held-out profiles"
    assert splits["esconv_test"] >= 100
    assert clone.read("metrics/contexts.json")["test"]["dialogues_sampled"] == splits["esconv_test"]


def test_policy_and_reference_agree_at_step_0_of_m1_and_of_m2(clone: Clone, made_m2: str):
    for model, parents in (("m1", ["m0"]), ("m2", ["m0", "m1"])):
        training = clone.read(f"metrics/{model}/training.json")
        assert training["reward_chosen_first"] == training["reward_rejected_first"] == 0
        log = "".join(p.read_text("utf-8", "replace") for p in logs_of(clone, parents))
        assert f"Merged {len(parents)} adapter(s)" in log


def test_the_last_step_of_every_training_is_kept_and_is_what_was_published(clone: Clone, made_m2: str):
    for model in ("m0", "m1", "m2"):
        training = clone.read(f"metrics/{model}/training.json")
        assert training["kept_step"] == training["steps"] >= 8
        assert training["kept_because"] == "last step"
        assert training["kept"]["eval_loss"]["mean"] == pytest.approx(
            training["kept"]["eval_loss_logged"], abs=1e-4
        )


def logs_of(clone: Clone, parents: list[str]) -> list[Path]:
    """The logs of runs that trained on exactly this chain."""
    chain = ",".join(f"models/{parent}" for parent in parents)
    configs = list(clone.folder.glob(".scratch/train/*/llamafactory.yaml"))
    chosen = [p for p in configs if yaml.safe_load(p.read_text()).get("adapter_name_or_path") == chain]
    assert len(chosen) == 1
    return [chosen[0].with_name("llamafactory.log")]


def test_every_context_of_an_iteration_is_accounted_for(clone: Clone, made_m2: str):
    contexts = clone.read("metrics/contexts.json")
    for model, part in (("m1", "synesc-1"), ("m2", "synesc-2")):
        counts = clone.read(f"metrics/{model}/preferences.json")
        assert counts["contexts"] == contexts[part]["written"]
        assert counts["contexts"] == counts["pairs"] + sum(counts["dropped"].values())
        assert counts["pairs"] == sum(counts["chosen_source"].values()) == counts["train"] + counts["valid"]
        training = clone.read(f"metrics/{model}/training.json")
        assert (training["train_samples"], training["valid_samples"]) == (counts["train"], counts["valid"])


def test_a_second_make_m2_runs_no_stage(clone: Clone, made_m2: str):
    printed = clone.make("m2")
    assert "Data and pipelines are up to date." in printed
    assert printed[printed.index("paper protocol") :] == made_m2[made_m2.index("paper protocol") :]


def test_a_changed_beta_reruns_m1_and_what_follows_and_nothing_before(clone: Clone, made_m2: str):
    params = clone.folder / "params.yaml"
    before = params.read_text()
    params.write_text(before.replace("pref_beta: 0.1", "pref_beta: 0.2"))
    try:
        status = json.loads(clone.run("dvc", "status", "--json").stdout)
        # downloads, the shipped weights' recipe, what runs when it is asked for
        apart = ("data/", "testbed/", "stages/")
        never_run = {name for name in status if name.partition("@")[2] not in ("", *MODELS)}  # of make tables
        asked = {name for name in status if not name.startswith(apart)} - never_run
        assert asked == {"train@m1", "train@m2"}
        dry = clone.run("dvc", "repro", "--dry", "headline").stdout
        assert re.findall(r"Running stage '(.+)'", dry)[0] == "train@m1"
        assert {"sft@m0", "refine@m1", "pair@m1"} <= set(re.findall(r"Stage '(.+)' didn't change", dry))
    finally:
        params.write_text(before)


def test_make_m1_then_metrics_diff_prints_the_changes(clone: Clone, made_m2: str):
    printed = clone.make("m1")
    ran = re.findall(r"^Running stage '(.+)':$", printed, re.MULTILINE)
    assert sorted(ran) == ["headline", "sample"]  # the rest led to M2
    diff = clone.run("dvc", "metrics", "diff", "m1", "m2", "--json").stdout
    headline = json.loads(diff)["metrics/headline.json"]["paper.bleu_2"]
    assert headline["old"] == clone.read("metrics/m1/text.json")["paper"]["bleu_2"]
    assert headline["new"] == clone.read("metrics/m2/text.json")["paper"]["bleu_2"]
    shown = clone.run("dvc", "metrics", "diff", "m1", "m2").stdout
    assert re.search(r"metrics/headline.json\s+paper.bleu_2\s+[\d.]+\s+[\d.]+\s+-?[\d.]+", shown)


def test_training_curves_are_plots(clone: Clone, made_m2: str):
    clone.run("dvc", "plots", "show", "--out", "plots")
    page = (clone.folder / "plots" / "index.html").read_text(encoding="utf-8")
    for title in ("Training loss", "Reward margin", "Share of pairs ranked rightly"):
        assert title in page
    header = (clone.folder / "metrics/m1/curves.csv").read_text().splitlines()[0]
    assert {"step", "loss", "reward_margin", "reward_accuracy"} <= set(header.split(","))


def test_an_experiment_with_a_parameter_reaches_its_own_name(clone: Clone, made_m2: str):
    done = clone.run("make", "m9", f"VENV={sys.prefix}", check=False)
    assert done.returncode != 0
    bad = clone.run("make", "m2", f"VENV={sys.prefix}", "DATA=moon", check=False)
    assert bad.returncode != 0
    assert "error: conf/data: there is no moon.yaml; there are local, mini, paper" in bad.stderr
