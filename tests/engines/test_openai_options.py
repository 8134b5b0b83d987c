"""The options of an engine behind a server: wrong ones are named, and no key is shown."""

from typing import Any

import pytest

from selfevolve.engines.server.client import Options
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.parameters import validate
from tests.engines.test_openai_engine import KEY, engine_at

OPTIONS = {
    "kind": "openai",
    "base_url": "http://127.0.0.1/v1",
    "model": "m",
    "concurrency": 4,
    "timeout_s": 20.0,
    "retries": 1,
    "key_variable": "KEY",
}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("base_url", "127.0.0.1:8000"),
        ("base_url", "http://me:hunter2@127.0.0.1/v1"),
        ("base_url", "http://127.0.0.1:port/v1"),
        ("base_url", "http://127.0.0.1/v1?key=hunter2"),
        ("base_url", None),
        ("concurrency", 0),
        ("concurrency", "4"),
        ("timeout_s", 0),
        ("retries", -1),
        ("retries", True),
    ],
)
def test_wrong_parameters_are_named(option: str, value: Any):
    with pytest.raises(InputError, match=f"field engine.{option}") as caught:
        validate(Options, {**OPTIONS, option: value}, section="engine")
    assert "hunter2" not in str(caught.value)


def test_a_key_that_no_header_can_carry_is_named_but_not_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY + "ä")
    with pytest.raises(InputError, match="the key in OPENAI_API_KEY") as caught:
        engine_at("http://127.0.0.1/v1")
    assert KEY not in str(caught.value)
