"""What the stage `prepare` says of bad input."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.raw_corpora import esconv, prepare, published, set_params


def set_file(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


SAME = json.dumps([esconv(1)] * 20).encode()


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (lambda folder: (folder / "extes.json").unlink(), "extes.json: no such file"),
    "not JSON": (set_file("extes.json", b"[{"), "extes.json: record line 1: not JSON"),
    "not UTF-8": (set_file("esconv.json", b"[\xff]"), "esconv.json: not valid UTF-8"),
    "one session": (set_file("esconv.json", json.dumps([esconv(1)]).encode()), "at least two usable ESConv"),
    "no session": (set_file("esconv.json", b"[]"), "at least two usable ESConv"),
    "all the same": (set_file("esconv.json", SAME), "esconv.json: every ESConv training dialogue"),
    "role": (
        set_file("serveforemo.jsonl", b'{"dialogue": [{"role": "agent", "content": "a"}]}'),
        'serveforemo.jsonl: record 0 (serveforemo-0000): field dialogue.0.role: unknown role "agent": ',
    ),
    "no section": (set_file("params.yaml", b"train: {}"), "params.yaml: field prepare: missing section"),
    "empty section": (set_file("params.yaml", b"prepare:"), "params.yaml: field prepare: "),
    "share": (set_params(test_share=1.0), "params.yaml: field prepare.test_share: "),
    "threshold": (set_params(near_duplicate=0), "params.yaml: field prepare.near_duplicate: "),
    "min_turns": (set_params(min_turns={"esconv": 1}), "params.yaml: field prepare.min_turns.esconv: "),
    "unknown": (set_params(sede=1), "params.yaml: field prepare.sede: "),
    "roles": (set_params(roles={"agent": "helper"}), "params.yaml: field prepare.roles.agent: "),
    "seed": (set_params(seed="x"), "params.yaml: field prepare.seed: "),
}


@pytest.mark.parametrize("name", BROKEN)
def test_bad_input_is_one_line_and_leaves_what_was_published(name: str, corpora: Path) -> None:
    (corpora / "data" / "dialogues").mkdir(parents=True)
    (corpora / "data" / "dialogues" / "earlier.jsonl").write_text("{}", encoding="utf-8")
    breaks, expected = BROKEN[name]
    breaks(corpora)
    result = prepare(corpora)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert expected in result.stderr
    assert list(published(corpora)) == ["data/dialogues/earlier.jsonl"]
    assert [path.name for path in (corpora / "data").iterdir()] == ["dialogues"]
