"""Models that fail, hang or are slow; servers that are killed; starts that cannot be."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, run_stage, stage_command, stage_environment
from tests.support.rating_site import PASSWORD, Talker, Visitor, exported, make_study, running


def test_a_model_that_fails_gives_a_kind_word_and_answers_when_asked_again(tmp_path: Path):
    models = {"m0": Talker(fail=1), "m2": Talker(fail=1)}
    with running(make_study(tmp_path, "pointwise"), models, tmp_path / "r.sqlite") as site:
        rater = site.visitor().begin()
        rater.say("I lost my job.")
        assert "Your message is kept" in rater.page
        assert "RuntimeError" not in rater.page
        rater.send("/retry")
        rater.wait()
        assert "I hear you" in rater.page
        seeds = [seed for model in models.values() for _, seed in model.asked]
        assert len(seeds) == 2
        assert len(set(seeds)) == 1
        assert len(exported(site, tmp_path)["turns"]) == 1


def test_when_one_of_two_models_fails_the_other_is_not_asked_again(tmp_path: Path):
    models = {"m0": Talker(fail=1), "m2": Talker()}
    with running(make_study(tmp_path, "pairwise"), models, tmp_path / "r.sqlite") as site:
        rater = site.visitor().begin()
        rater.say("I lost my job.")
        assert "I hear you" not in rater.page  # one answer alone would tell which model failed
        rater.send("/retry")
        rater.wait()
        assert rater.page.count("I hear you") == 2
        assert [len(model.asked) for model in models.values()] == [2, 1]


def test_a_model_that_hangs_is_given_up_and_its_queue_goes_on(tmp_path: Path):
    released = threading.Event()

    class Hanging(Talker):
        def __call__(self, messages, seed):
            self.asked.append((tuple(messages), seed))
            if len(self.asked) == 1:
                released.wait(30)
            yield "At last."

    hanging = Hanging()
    study = make_study(tmp_path, "pointwise")
    with running(study, {"m0": hanging, "m2": hanging}, tmp_path / "r.sqlite", timeout_s=0.5) as site:
        rater = site.visitor().begin()
        rater.say("I lost my job.")
        assert "No answer came" in rater.page
        rater.send("/retry")
        rater.wait()
        assert "At last." in rater.page
        released.set()
        time.sleep(0.1)
        assert [answer["text"] for answer in exported(site, tmp_path)["turns"][0]["answers"]] == ["At last."]


def test_an_answer_is_made_once_however_many_tabs_wait_for_it(tmp_path: Path):
    slow = Talker(0.2)
    with running(make_study(tmp_path, "pointwise"), {"m0": slow, "m2": slow}, tmp_path / "r.sqlite") as site:
        rater = site.visitor().begin()
        rater.say("I lost my job.", wait=False)
        tabs = [site.visitor() for _ in range(3)]
        assert all("event: done" in tab.http.get(f"{tab.path}/answers").text for tab in tabs)
        assert len(slow.asked) == 1


def test_those_who_wait_are_told_how_many_come_first(tmp_path: Path):
    slow = Talker(0.2)
    with running(make_study(tmp_path, "pointwise"), {"m0": slow, "m2": slow}, tmp_path / "r.sqlite") as site:
        visitors = [site.visitor(number).begin() for number in range(3)]
        for visitor in visitors:
            visitor.say("I lost my job.", wait=False)
        seen = [visitor.http.get(f"{visitor.path}/answers").text for visitor in reversed(visitors)]
        assert any('"ahead": 1' in events or '"ahead": 2' in events for events in seen)
        assert all("event: done" in events for events in seen)


def test_an_answer_that_a_stop_cut_off_is_made_again_from_its_seed(tmp_path: Path):
    study, database = make_study(tmp_path, "pointwise"), tmp_path / "r.sqlite"
    slow = Talker(0.5)
    with running(study, {"m0": slow, "m2": slow}, database) as site:
        token = site.tokens[0]
        site.visitor().begin().say("I lost my job.", wait=False)
        while not slow.asked:
            time.sleep(0.01)
    quick = Talker()
    with running(study, {"m0": quick, "m2": quick}, database, invited=0) as site:
        rater = Visitor(site.url, token)
        rater.wait()
        assert "I hear you" in rater.page
        assert quick.asked == slow.asked[:1]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["pointwise", "pairwise"])
def test_nothing_is_lost_or_doubled_when_the_server_is_killed_again_and_again(tmp_path: Path, mode: str):
    arguments = ("--raters", 4, "--kills", 3, "--turns", 2, "--think", 0.05, "--answer", 0.1, "--seed", 7)
    study = ROOT / f"rating/studies/{mode}.yaml"
    done = run_stage("tests.support.rating_kills", "--study", study, *arguments, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kills" in done.stdout
    assert "in the database: the same" in done.stdout
    assert "acknowledged: 0 messages" not in done.stdout


def small_study(folder: Path) -> Path:
    study = yaml.safe_load((ROOT / "rating/studies/pointwise.yaml").read_text(encoding="utf-8"))
    path = folder / "small.yaml"
    path.write_text(
        yaml.safe_dump(study | {"raters": 1, "models": ["m0", "m2"], "overlap": None}), encoding="utf-8"
    )
    return path


def test_ctrl_c_stops_the_server_with_a_word_even_while_somebody_waits(tmp_path: Path):
    command = stage_command(
        "rating.serve", "--study", small_study(tmp_path), "--rehearse", "30", "--port", "0"
    )
    server = subprocess.Popen(
        [*command, "--database", str(tmp_path / "r.sqlite")],
        cwd=ROOT,
        env=stage_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    link = url = ""
    for line in server.stdout:
        if "/r/" in line:
            link = line.split()[1]
        if line.startswith("serving"):
            url = line.split()[2].rstrip(",")
            break
    rater = Visitor(url, link.rsplit("/", 1)[1]).begin()
    rater.say("I lost my job.", wait=False)
    waiting = threading.Thread(target=lambda: rater.http.get(f"{rater.path}/answers"), daemon=True)
    waiting.start()
    time.sleep(0.3)
    server.send_signal(signal.SIGINT)
    out, err = server.communicate(timeout=15)
    assert server.returncode == 0
    assert "Traceback" not in err
    assert "goes on where" in out + err


def test_a_model_that_is_not_there_is_named_before_anything_is_made(tmp_path: Path):
    done = run_stage(
        "rating.serve",
        "--study",
        ROOT / "rating/studies/pointwise.yaml",
        "--models",
        "m7",
        "m8",
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "models/m7" in done.stderr
    assert "make m2" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_port_in_use_is_one_clear_line(tmp_path: Path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = ("--study", small_study(tmp_path), "--rehearse", 1, "--port", port)
        done = run_stage("rating.serve", *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr


def test_the_printed_hash_opens_the_operators_pages_and_a_wrong_variable_is_refused(tmp_path: Path):
    from rating.password import Operator

    done = subprocess.run(
        [sys.executable, "-m", "rating.password"],
        input=PASSWORD + "\n",
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert PASSWORD not in done.stdout
    operator = Operator(done.stdout.strip())
    assert operator.log_in(PASSWORD)
    assert operator.log_in("wrong") is None
    arguments = ["--study", str(small_study(tmp_path)), "--rehearse", "1", "--port", "0"]
    refused = subprocess.run(
        stage_command("rating.serve", *arguments),
        env=stage_environment() | {"HUMAN_EVAL_PASSWORD_HASH": PASSWORD},
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert refused.returncode == 1
    assert "HUMAN_EVAL_PASSWORD_HASH" in refused.stderr
    assert PASSWORD not in refused.stderr


def test_a_short_password_is_not_hashed():
    done = subprocess.run(
        [sys.executable, "-m", "rating.password"],
        input="short\n",
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ,
        check=False,
    )
    assert done.returncode == 1
    assert "12" in done.stderr
