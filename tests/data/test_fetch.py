"""What is fetched from a server on loopback that can be told to misbehave: whole, right, or not at all."""

import io
import subprocess
import zipfile
from pathlib import Path

import pytest

from selfevolve.data.download import fetch, git_blob_id, read_member
from selfevolve.runtime.errors import InputError
from tests.support.upstreams import CONTENT, blob_id, section


@pytest.fixture
def get(upstream, tmp_path):
    """Run `fetch` for the name "thing" with this section changed as given; return the output path."""

    def run(changes: dict | None = None, **spec) -> Path:
        out = tmp_path / "out" / "thing.json"
        fetch("thing", out, {**section(upstream, **spec), **(changes or {})})
        return out

    return run


def test_whole_file_is_published_and_nothing_is_left(get, upstream, tmp_path):
    out = get()
    assert out.read_bytes() == CONTENT
    assert upstream.paths == [f"/a/b/{'c' * 40}/sub/data%20%231.json"]
    assert files(tmp_path) == [out]


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_blob_id_is_the_one_of_git(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    git = subprocess.run(["git", "hash-object", path], capture_output=True, text=True, check=True)
    assert git_blob_id(CONTENT) == git.stdout.strip()


def test_a_dropped_connection_begins_again(get, upstream):
    upstream.cut_after = [200_000, 100_000]
    assert get().read_bytes() == CONTENT
    assert len(upstream.paths) == 3


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_server_errors_are_retried(get, upstream, status):
    upstream.statuses = [status, status]
    assert get().read_bytes() == CONTENT
    assert len(upstream.paths) == 3


def test_lasting_failure_ends_after_the_tries_and_leaves_nothing(get, upstream, tmp_path):
    upstream.cut_after = [200_000, 200_000]
    with pytest.raises(InputError, match=r"not downloaded after 2 tries: RemoteProtocolError"):
        get({"retries": 1})
    assert files(tmp_path) == []
    assert get().read_bytes() == CONTENT


def test_missing_file_is_refused_at_once(get, upstream, tmp_path):
    upstream.statuses = [404]
    with pytest.raises(InputError, match="HTTP 404"):
        get()
    assert len(upstream.paths) == 1
    assert not (tmp_path / "out" / "thing.json").exists()


def test_wrong_content_names_both_digests_and_is_not_published(get, tmp_path):
    with pytest.raises(InputError, match=f"blob id {blob_id(CONTENT)}, expected {'0' * 40}"):
        get(blob="0" * 40)
    assert files(tmp_path) == []


def test_file_that_says_it_is_too_large_is_not_even_begun(get, tmp_path):
    with pytest.raises(InputError, match="600000 bytes, more than the limit of 500000"):
        get({"max_mb": 0.5})
    assert files(tmp_path) == []


def test_file_that_turns_out_too_large_is_broken_off(get, upstream, tmp_path):
    upstream.says_length = False
    with pytest.raises(InputError, match="more than the limit of 500000 bytes"):
        get({"max_mb": 0.5})
    assert not (tmp_path / "out").exists()


def test_cut_body_of_unsaid_length_is_found_out(get, upstream, tmp_path):
    upstream.says_length, upstream.cut_after = False, [200_000]
    with pytest.raises(InputError, match=f"blob id {blob_id(CONTENT[:200_000])}, expected"):
        get()
    assert files(tmp_path) == []


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
    assert files(tmp_path) == [out]


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
    assert files(tmp_path) == []


def test_zip_bomb_and_broken_zip():
    bomb = zipped({"ExTES.json": bytes(1_000_001)})
    with pytest.raises(InputError, match="unpacks to more than 1000000"):
        read_member(bomb, "ExTES.json", "a.zip", 1_000_000)
    size = (1_000_001).to_bytes(4, "little")
    lying = bomb.replace(size, (1000).to_bytes(4, "little"))  # the size in the archive's index
    for broken in (b"not a zip", zipped({"ExTES.json": CONTENT})[:-500], lying):
        with pytest.raises(InputError, match="not a zip archive"):
            read_member(broken, "ExTES.json", "a.zip", 1_000_000)


def test_unreachable_server(upstream, tmp_path):
    dead = {**section(upstream), "base_url": "http://127.0.0.1:9", "retries": 1}
    with pytest.raises(InputError, match="not downloaded after 2 tries: ConnectError"):
        fetch("thing", tmp_path / "out.json", dead)


def test_an_address_of_no_known_kind_is_refused_at_once(get, tmp_path):
    with pytest.raises(InputError, match=r"ftp://h/a/b/.*: .*protocol"):
        get({"base_url": "ftp://h"})
