"""The database: many writers, killed ones, migrations; what a withdrawal and an export leave."""

import csv
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from rating.app import conversation, raters, tasks
from rating.app.export import _cell, export, progress
from rating.app.raters import Refused
from rating.app.schema import Base
from rating.app.store import open_store
from selfevolve.runtime.errors import InputError
from tests.conftest import ROOT, read_lines
from tests.support.postgres import VARIABLE, fresh_database
from tests.support.rating_store import Rater, answer, make_store, make_study, nonce

WRITER = """
import sys
from rating.app import conversation
from rating.app.raters import Rater
from rating.app.store import open_store
from rating.app.study import read_study
study = read_study(sys.argv[1])
store = open_store(sys.argv[2], study)
token, task = sys.argv[3], sys.argv[4]
for number in range(int(sys.argv[5]), 10_000):
    with store.writing() as db:
        rater = Rater.of(db, study, token)
        turn = conversation.post_message(rater, task, f"message {number}", f"message-{number:06d}")
    with store.writing() as db:
        assert conversation.set_answer(db, conversation.answer_jobs(db, task)[0].answer_id, "done", "Yes.")
    print(number, flush=True)
"""


def test_many_raters_at_once_lose_nothing_and_stay_balanced(tmp_path: Path):
    study = make_study(tmp_path, "pointwise", overlap=4)
    store = make_store(tmp_path, study)
    people = [Rater(store) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(lambda rater: rater.do_all(value=4), people))
    assert [len(tasks_) for tasks_ in done] == [3] * 6
    with store.reading() as db:
        found = progress(db, study)
        export(db, study, tmp_path / "export")
    store.close()
    assert [model["submitted"] for model in found.models.values()] == [2, 2, 2]
    done = [(one.tasks["session", "submitted"], one.tasks["item", "submitted"]) for one in found.raters]
    assert done == [(1, 2)] * 6
    lines = read_lines(tmp_path / "export/ratings.jsonl")
    units = Counter((line["unit"], line["model"]) for line in lines if line["unit"].startswith("item:"))
    assert (len(lines), units.total()) == (7 * 18, 7 * 12)
    assert max(units.values()) == 7 * 3
    assert list(units.values()).count(7 * 3) >= 3  # of at most four: items are filled one after another


def test_a_double_click_in_two_threads_is_one_act(tmp_path: Path):
    store = make_store(tmp_path, make_study(tmp_path, "pointwise"))
    rater, word = Rater(store), nonce()
    task = rater.next()
    gate = threading.Barrier(4)

    def click(_: int) -> int:
        gate.wait()
        return rater.act(conversation.post_message, task.id, "Once.", nonce_=word).id

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(click, range(4)))) == 1
    assert len(rater.look(task.id).turns) == 1
    store.close()


def test_a_killed_writer_loses_nothing_it_has_acknowledged_and_doubles_nothing(tmp_path: Path):
    study = make_study(tmp_path, "pointwise", maximum_turns=None, sessions_per_rater=1)
    url = fresh_database(tmp_path / "ratings.sqlite")
    store = open_store(url, study)
    rater = Rater(store)
    task = rater.next()
    script, acknowledged = tmp_path / "writer.py", -1
    script.write_text(WRITER, encoding="utf-8")
    for round_ in range(3):
        missing = [turn for turn in rater.look(task.id).turns if not turn.complete]
        assert len(missing) <= 1
        answer(store, task.id)
        begin = max(acknowledged, 0)  # the last acknowledged one is sent again: a replay
        if acknowledged >= 0:
            rater.act(conversation.post_message, task.id, "again", nonce_=f"message-{acknowledged:06d}")
            begin = len(rater.look(task.id).turns)
        arguments = [tmp_path / "pointwise.yaml", url, rater.token, task.id, begin]
        writer = subprocess.Popen(
            [sys.executable, script, *map(str, arguments)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for _ in range(4 + 3 * round_):
            acknowledged = int(writer.stdout.readline())
        time.sleep(0.004 * round_)
        writer.send_signal(signal.SIGKILL)
        rest = writer.communicate()[0].split()
        acknowledged = int(rest[-1]) if rest else acknowledged
        said = [turn.seeker for turn in rater.look(task.id).turns]
        assert said == [f"message {number}" for number in range(len(said))]
        assert acknowledged + 1 <= len(said) <= acknowledged + 2
    store.close()


def test_stores_that_are_opened_together_make_one_database(tmp_path: Path):
    study = make_study(tmp_path, "pointwise", overlap=3)
    url = fresh_database(tmp_path / "ratings.sqlite")
    with ThreadPoolExecutor(3) as pool:
        stores = list(pool.map(lambda _: open_store(url, study), range(3)))
    with stores[0].reading() as db:
        assert db.execute(text("SELECT count(*) FROM study")).scalar() == 1
        assert db.execute(text("SELECT count(*) FROM items")).scalar() == 3
    for store in stores:
        store.close()


def test_migrations_lead_from_nothing_to_the_tables_of_the_code(tmp_path: Path):
    study = make_study(tmp_path, "pointwise")
    url = fresh_database(tmp_path / "ratings.sqlite")
    store = open_store(url, study)
    with Rater(store).store.reading() as db:
        context = MigrationContext.configure(db.connection())
        assert compare_metadata(context, Base.metadata) == []
        assert set(inspect(db.connection()).get_table_names()) == {*Base.metadata.tables, "alembic_version"}
    store.close()
    again = open_store(url, study)  # nothing to do, and the rater is there
    with again.reading() as db:
        assert len(raters.all_raters(db)) == 1
    with again.writing() as db:
        db.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    again.close()
    with pytest.raises(InputError, match="newer version"):
        open_store(url, study)


def test_the_database_of_another_study_is_refused(tmp_path: Path):
    url = fresh_database(tmp_path / "ratings.sqlite")
    open_store(url, make_study(tmp_path, "pointwise")).close()
    with pytest.raises(InputError, match="a study that was changed needs a database of its own"):
        open_store(url, make_study(tmp_path, "pointwise", minimum_turns=3))


@pytest.mark.parametrize(
    "url", ["mysql://localhost/x", "nonsense://", "sqlite://", "postgresql://nobody:secret@127.0.0.1:1/x"]
)
def test_what_is_no_database_is_one_line_without_the_password(tmp_path: Path, url: str):
    with pytest.raises(InputError) as caught:
        open_store(url, make_study(tmp_path, "pointwise"))
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_stays_as_it_is(tmp_path: Path):
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to look at " * 50, encoding="utf-8")
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"notes\.txt: cannot be used as a database"):
        open_store(str(path), make_study(tmp_path, "pointwise"))
    assert path.read_bytes() == before


@pytest.mark.skipif(VARIABLE in os.environ, reason="SQLite's files")
def test_nobody_else_may_read_the_file(tmp_path: Path):
    store = make_store(tmp_path, make_study(tmp_path, "pointwise"))
    Rater(store)
    for file in tmp_path.glob("ratings.sqlite*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    store.close()


def test_a_reader_cannot_write(tmp_path: Path):
    store = make_store(tmp_path, make_study(tmp_path, "pointwise"))
    with pytest.raises(Exception, match=r"(?i)read.?only"), store.reading() as db:
        db.execute(text("DELETE FROM raters"))
    store.close()


def test_what_is_refused_changes_nothing(tmp_path: Path):
    store = make_store(tmp_path, make_study(tmp_path, "pointwise"))
    rater = Rater(store)
    task = rater.next()

    def post_two() -> None:
        with store.writing() as db:
            for message in ("Lost.", "Too soon."):
                acting = raters.Rater.of(db, store.study, rater.token)
                conversation.post_message(acting, task.id, message, nonce())

    with pytest.raises(Refused, match="answer_pending"):
        post_two()
    assert rater.look(task.id).turns == ()
    store.close()


@pytest.mark.parametrize("mode", ["pointwise", "pairwise"])
def test_a_withdrawal_leaves_a_count_and_nothing_else(tmp_path: Path, mode: str):
    study = make_study(tmp_path, mode, overlap=3, attention_checks=1)
    store = make_store(tmp_path, study)
    stays, goes = Rater(store), Rater(store)
    stays.do_all()
    while (task := goes.next()) is not None:
        if task.kind == "session":
            goes.say(task.id, "xylophone-secret")
        goes.act(tasks.close, task.id, "discarded") if task.slot == 1 and not task.id.endswith(
            ".2"
        ) else goes.do(task)
    for _ in range(2):  # twice is once
        with store.writing() as db:
            raters.withdraw(db, goes.id)
    store.scrub()
    with store.reading() as db:
        export(db, study, tmp_path / "export")
        for table in ("tasks", "turns", "answers", "ratings", "changes", "acts"):
            own = "rater_id" if table in ("tasks", "acts") else None
            rows = db.execute(text(f"SELECT * FROM {table}")).mappings().all()
            assert not [row for row in rows if own and row[own] == goes.id]
            assert not [row for row in rows if str(row.get("task_id", "")).startswith(goes.name)]
        assert progress(db, study).withdrawn == 1
        with pytest.raises(Refused, match="withdrawn"):
            raters.Rater.of(db, study, goes.token)
    assert (tmp_path / "export" / "withdrawals.json").read_text(encoding="utf-8") == '{\n  "count": 1\n}\n'
    for file in (tmp_path / "export").iterdir():
        assert goes.name not in file.read_text(encoding="utf-8")
    for file in tmp_path.glob("ratings.sqlite*"):
        assert b"xylophone-secret" not in file.read_bytes()
    store.close()


@pytest.mark.parametrize("mode", ["pointwise", "pairwise"])
def test_an_export_has_everything_that_was_done(tmp_path: Path, mode: str):
    study = make_study(tmp_path, mode, overlap=3, attention_checks=1)
    store = make_store(tmp_path, study)
    first, second = Rater(store), Rater(store)
    done = [*first.do_all(value=2), *second.do_all(value=2, choice="b")]
    with store.reading() as db:
        export(db, study, tmp_path / "export", now=0.0)
        export(db, study, tmp_path / "again", now=0.0)
    store.close()
    files = {path.name: path.read_bytes() for path in (tmp_path / "export").iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()}
    lines = {path.stem: read_lines(path) for path in (tmp_path / "export").glob("*.jsonl")}
    assert len(lines["sessions"]) == 2
    assert len(lines["turns"]) == 2 * study.minimum_turns
    assert {line["unit"] for line in lines["attention"]} == {
        f"check:{t.id}" for t in done if t.kind == "attention"
    }
    if mode == "pointwise":
        assert len(lines["ratings"]) == 6 * len(study.dimensions)
        assert Counter(line["unit"].startswith("item:") for line in lines["ratings"]) == {True: 28, False: 14}
        responses = {item["id"]: item["responses"] for item in lines["items"]}
        assert all(line["unit"][5:] in responses for line in lines["ratings"] if line["unit"][:5] == "item:")
        assert all(line["passed"] == (line["expected"] == "2") for line in lines["attention"])
    else:
        assert len(lines["comparisons"]) == 2 * study.minimum_turns + 4
        turns = {f"{line['session']}#{line['index']}": line for line in lines["turns"]}
        for line in lines["comparisons"]:
            assert line["first"] != line["second"]
            if line["unit"] in turns:
                models = [answer_["model"] for answer_ in turns[line["unit"]]["answers"]]
                assert [line["first"], line["second"]] == models
        assert {line["winner"] for line in lines["comparisons"]} == {"first", "second"}
    for name in ("sessions", "ratings", "comparisons"):
        rows = list(csv.DictReader((tmp_path / "export" / f"{name}.csv").open(encoding="utf-8")))
        assert len(rows) == len(lines[name])
        assert all(
            str(row[k]) == str(line[k])
            for row, line in zip(rows, lines[name], strict=True)
            for k in row
            if k in line and line[k] is not None
        )


def test_a_cell_is_never_a_formula():
    assert [_cell(v) for v in ("=1+1", "@x", "-x", "\tx", "m0", -1.5, None)] == [
        *("'=1+1", "'@x", "'-x", "'\tx", "m0"),
        -1.5,
        None,
    ]
