"""The operator's pages: the password, links, revoking, withdrawal, pause, export."""

import io
import json
import re
import zipfile
from pathlib import Path

import pytest

from rating.app.security import RateLimit
from tests.support.rating_site import PASSWORD, Running, Talker, Visitor, form, forms, make_study, running


@pytest.fixture
def site(tmp_path: Path):
    models = {"m0": Talker(), "m2": Talker()}
    with running(make_study(tmp_path, "pointwise"), models, tmp_path / "r.sqlite") as site:
        yield site


def links(page: str) -> list[str]:
    return re.findall(r"<code>[^<]*/r/([^<]+)</code>", page)


def of_rater(operator: Visitor, name: str, act: str) -> str:
    row = next(row for row in operator.page.split("<tr>") if f">{name}<" in row)
    return next(one.action for one in forms(row) if one.action.endswith(act)).removeprefix("/operator")


def test_new_links_are_shown_once_and_work(site: Running):
    operator = site.operator()
    operator.send("/invite", count=2)
    tokens = links(operator.page)
    assert len(tokens) == 2
    assert Visitor(site.url, tokens[0]).path == "/consent"
    operator.get("/operator")
    assert not [token for token in tokens if token in operator.page]


@pytest.mark.parametrize("count", ["0", "-1", "201", "many", ""])
def test_an_odd_number_of_links_is_not_made(site: Running, count: str):
    operator = site.operator()
    operator.send("/invite", count=count)
    assert "Between 1 and 200" in operator.page


def test_a_new_link_replaces_the_old_one_of_the_same_rater(site: Running):
    rater = site.visitor().begin()
    rater.say("I lost my job.")
    operator = site.operator()
    operator.send(of_rater(operator, "r001", "/renew"))
    token = links(operator.page)[0]
    assert site.visitor().response.status_code in (403, 404)
    assert "I lost my job." in Visitor(site.url, token).page


def test_revoking_closes_the_door(site: Running):
    rater = site.visitor().begin()
    operator = site.operator()
    operator.send(of_rater(operator, "r001", "/revoke"))
    assert rater.get("/task").status_code == 403


def test_withdrawal_needs_the_name_and_deletes_what_was_written(site: Running, tmp_path: Path):
    rater = site.visitor().begin()
    rater.say("A sentence to be forgotten.")
    operator = site.operator()
    path = re.search(r'href="/operator(/raters/\d+/withdraw)"', operator.page).group(1)
    operator.get(f"/operator{path}")
    operator.send("/withdraw", name="r999")
    assert rater.get("/task").status_code == 200
    operator.send("/withdraw", name="r001")
    assert rater.get("/task").status_code == 410
    files = [path.read_bytes() for path in tmp_path.glob("r.sqlite*")]
    assert files
    assert not [content for content in files if b"to be forgotten" in content]


def test_pause_and_resume(site: Running):
    operator = site.operator()
    operator.send("/pause")
    assert ">paused<" in operator.page
    rater = site.visitor()
    rater.send("/consent", agree="yes")
    assert rater.response.status_code == 503
    operator.send("/resume")
    rater.get("/task")
    assert rater.path.startswith("/t/")


def test_the_export_is_an_archive_of_tables_and_records(site: Running):
    rater = site.visitor().begin()
    rater.say("I lost my job.")
    operator = site.operator()
    archive = zipfile.ZipFile(io.BytesIO(operator.send("/export").content))
    assert {"study.json", "sessions.jsonl", "turns.jsonl", "ratings.jsonl", "ratings.csv"} <= set(
        archive.namelist()
    )
    assert json.loads(archive.read("turns.jsonl").splitlines()[0])["seeker"] == "I lost my job."


def test_progress_counts_by_model_and_rater(site: Running):
    site.visitor().begin()
    operator = site.operator()
    rows = operator.page.split("<tr>")
    assert [row for row in rows if ">m0<" in row]
    assert [row for row in rows if ">r001<" in row and "consented" in row]


def test_logging_out_ends_the_session(site: Running):
    operator = site.operator()
    cookie = operator.http.cookies["operator"]
    operator.send("/logout")
    operator.http.cookies.set("operator", cookie)
    assert operator.get("/operator").url.path == "/operator/login"


def test_the_operators_pages_need_the_password(site: Running):
    rater = site.visitor().begin()
    for path in ("/operator", "/operator/raters/1/withdraw"):
        assert rater.get(path).url.path == "/operator/login"
    csrf = form(rater.page, "/login").fields["csrf"]
    for act in ("invite", "pause", "export", "raters/1/withdraw", "raters/1/renew"):
        response = rater.http.post(f"/operator/{act}", data={"csrf": csrf, "count": "1"})
        assert response.url.path == "/operator/login"
    assert rater.get("/operator/login").status_code == 200


def test_wrong_passwords_are_refused_and_soon_not_even_checked(site: Running):
    site.site.logins, kept = RateLimit(rate=0.001, burst=3), site.site.logins
    visitor = Visitor(site.url)
    codes = []
    for password in ("", "wrong", PASSWORD + " ", PASSWORD):
        visitor.get("/operator/login")
        codes.append(visitor.send("/operator/login", password=password).status_code)
    assert codes == [403, 403, 403, 429]
    site.site.logins = kept


def test_a_forged_form_does_nothing_for_the_operator_either(site: Running):
    operator = site.operator()
    for fields in ({"count": "1"}, {"csrf": "0" * 64}):
        assert operator.http.post("/operator/pause", data=fields).status_code == 403
    operator.get("/operator")
    assert ">running<" in operator.page


def test_an_export_holds_no_link(site: Running):
    site.visitor().begin()
    operator = site.operator()
    operator.get("/operator")
    content = operator.send("/export").content
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert not [name for name in archive.namelist() if site.tokens[0].encode() in archive.read(name)]
    assert json.loads(archive.read("study.json"))["name"] == site.site.study.name
