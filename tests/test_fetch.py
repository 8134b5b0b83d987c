"""What is fetched from a server on loopback that can be told to misbehave: whole, right, or not at all."""

import io
import subprocess
import zipfile
from pathlib import Path

import pytest

from stages.fetch import fetch
from stages.records.errors import InputError
from stages.upstream.archive import extract_member
from stages.upstream.download import git_blob_id
from tests.upstreams import CONTENT, Upstream, blob_id, partial_files, section


@pytest.fixture
def get(upstream, tmp_path):
    """Run `fetch` for the name "thing" with this section changed as given; return the output path."""

    def run(changes: dict | None = None, **spec) -> Path:
        out = tmp_path / "out" / "thing.json"
        fetch("thing", out, {**section(upstream, **spec), **(changes or {})}, tmp_path / "scratch")
        return out

    return run


def test_whole_file_is_published_and_nothing_is_left(get, upstream, tmp_path):
    out = get()
    assert out.read_bytes() == CONTENT
    assert upstream.requests == [None]
    assert upstream.paths == [f"/a/b/{'c' * 40}/sub/data%20%231.json"]
    assert partial_files(tmp_path) == []
    assert list(out.parent.iterdir()) == [out]


def test_blob_id_is_the_one_of_git(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    git = subprocess.run(["git", "hash-object", path], capture_output=True, text=True, check=True)
    assert git_blob_id(path) == git.stdout.strip()


def test_dropped_connections_are_continued_where_they_broke(get, upstream):
    upstream.cut_after = [200_000, 100_000]
    assert get().read_bytes() == CONTENT
    assert upstream.requests[0] is None
    assert all(asked and asked != "bytes=0-" for asked in upstream.requests[1:])
    assert len(upstream.requests) == 3
    assert upstream.bytes_served < len(CONTENT) + 2 * 65536


def test_server_without_ranges_starts_again_cleanly(get, upstream):
    upstream.cut_after, upstream.ranges = [200_000], False
    assert get().read_bytes() == CONTENT
    assert len(upstream.requests) == 2
    assert upstream.bytes_served == len(CONTENT) + 200_000


def test_answer_to_another_range_is_not_trusted(get, upstream):
    upstream.cut_after, upstream.wrong_range = [200_000], True
    assert get().read_bytes() == CONTENT
    assert [asked is None for asked in upstream.requests] == [True, False, True]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_server_errors_are_retried(get, upstream, status):
    upstream.statuses = [status, status]
    assert get().read_bytes() == CONTENT
    assert len(upstream.requests) == 3


def test_lasting_failure_ends_after_the_tries_and_keeps_what_arrived(get, upstream, tmp_path):
    upstream.cut_after, upstream.statuses = [200_000], []
    with pytest.raises(InputError, match=r"not downloaded after 1 tries.*run the same command"):
        get({"retries": 0})
    [partial] = partial_files(tmp_path)
    assert CONTENT.startswith(partial.read_bytes())
    assert partial.stat().st_size > 100_000
    assert get().read_bytes() == CONTENT
    assert upstream.requests[1] == f"bytes={partial_size(upstream)}-"


def partial_size(upstream: Upstream) -> int:
    return int(upstream.requests[1].removeprefix("bytes=").removesuffix("-"))


def test_missing_file_is_refused_at_once(get, upstream, tmp_path):
    upstream.statuses = [404]
    with pytest.raises(InputError, match="HTTP 404"):
        get()
    assert len(upstream.requests) == 1
    assert not (tmp_path / "out" / "thing.json").exists()


def test_wrong_content_names_both_digests_and_removes_the_partial_file(get, tmp_path):
    with pytest.raises(InputError, match=f"blob id {blob_id(CONTENT)}, expected {'0' * 40}"):
        get(blob="0" * 40)
    assert partial_files(tmp_path) == []
    assert not (tmp_path / "out").exists()


def test_stale_partial_file_costs_a_try_not_the_run(get, upstream, tmp_path):
    stale = tmp_path / "scratch/fetch/thing" / blob_id(CONTENT) / "partial"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"x" * (len(CONTENT) + 1))
    assert get().read_bytes() == CONTENT
    assert len(upstream.requests) == 2


def test_whole_partial_file_needs_no_request(get, upstream, tmp_path):
    whole = tmp_path / "scratch/fetch/thing" / blob_id(CONTENT) / "partial"
    whole.parent.mkdir(parents=True)
    whole.write_bytes(CONTENT)
    assert get().read_bytes() == CONTENT
    assert upstream.requests == []


def test_file_that_says_it_is_too_large_is_not_even_begun(get, tmp_path):
    with pytest.raises(InputError, match="600000 bytes, more than the limit of 500000"):
        get({"max_mb": 0.5})
    assert partial_files(tmp_path) == []


def test_file_that_turns_out_too_large_is_broken_off(get, upstream, tmp_path):
    upstream.says_length = False
    with pytest.raises(InputError, match="more than the limit of 500000 bytes"):
        get({"max_mb": 0.5})
    assert not (tmp_path / "out").exists()


def test_cut_body_of_unsaid_length_is_found_out(get, upstream, tmp_path):
    upstream.says_length, upstream.cut_after = False, [200_000]
    with pytest.raises(InputError, match=f"blob id {blob_id(CONTENT[:200_000])}, expected"):
        get()
    assert partial_files(tmp_path) == []


def test_existing_output_survives_a_failure(get, upstream, tmp_path):
    get()
    upstream.content = b"something else"
    with pytest.raises(InputError, match="expected"):
        get()
    assert (tmp_path / "out" / "thing.json").read_bytes() == CONTENT


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "members",
    [
        {"ExTES.json": b"[1]", "README.md": b"no"},
        {"folder/ExTES.json": b"[1]", "other.json": b"no", "__MACOSX/folder/ExTES.json": b"no"},
        {"folder/renamed.json": b"[1]", "README.md": b"no"},
        {"../../escaped/ExTES.json": b"[1]"},
    ],
)
def test_member_of_a_zip(get, upstream, tmp_path, members):
    upstream.content = zipped(members)
    out = get(blob=blob_id(upstream.content), member="ExTES.json")
    assert out.read_bytes() == b"[1]"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [out]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"README.md": b"no"}, "no file ExTES.json"),
        ({"a/one.json": b"1", "b/two.json": b"2"}, "several files fit ExTES.json: a/one.json, b/two.json"),
    ],
)
def test_zip_without_one_clear_member(get, upstream, tmp_path, members, message):
    upstream.content = zipped(members)
    with pytest.raises(InputError, match=message):
        get(blob=blob_id(upstream.content), member="ExTES.json")
    assert list((tmp_path / "out").iterdir()) == []


def test_zip_bomb_and_broken_zip(tmp_path):
    archive, out = tmp_path / "a.zip", tmp_path / "out"
    archive.write_bytes(zipped({"ExTES.json": bytes(1_000_001)}))
    with pytest.raises(InputError, match="unpacks to more than 1000000"):
        extract_member(archive, "ExTES.json", out, max_bytes=1_000_000)
    for broken in (b"not a zip", zipped({"ExTES.json": CONTENT})[:-500]):
        archive.write_bytes(broken)
        with pytest.raises(InputError, match="not a zip archive"):
            extract_member(archive, "ExTES.json", out, max_bytes=1_000_000)


def test_unreachable_server(upstream, tmp_path):
    dead = {**section(upstream), "base_url": "http://127.0.0.1:9", "retries": 1}
    with pytest.raises(InputError, match="not downloaded after 2 tries: ConnectError"):
        fetch("thing", tmp_path / "out.json", dead, tmp_path / "scratch")
