"""The stage refine, with a policy that a real server on loopback plays."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from selfevolve.policies.policy import Backbone, write_backbone
from selfevolve.records.jsonl import write_records
from selfevolve.records.schema import Context, Message, Response
from stages import refine
from tests.conftest import ROOT, read_lines
from tests.support.servers import ChatServer, Reply

DIRECT = "I am so sorry."  # four words, so that refined ones may have eight


def write_contexts(said: Mapping[str, str]) -> None:
    """Write a context and a direct response for what each seeker, by name, says; and a policy to ask."""
    asked = [
        Context(id=f"{name}#1", messages=[Message(role="user", content=text)], golden="golden " * 3)
        for name, text in said.items()
    ]
    direct = [Response(id=one.id, text=DIRECT, finish_reason="stop", attempt=1, model="m") for one in asked]
    write_records(Path("contexts.jsonl"), asked)
    write_records(Path("responses.jsonl"), direct)
    tiny = Backbone(weights=str(ROOT / "testbed/tiny"), template="llama3", dtype="float32", window=1120)
    write_backbone(Path("backbone"), tiny)  # of which only the tokenizer is used


def run_refine(
    policy: Callable[[dict[str, Any], int], Reply],
    params_file: Callable[..., Path],
    changes: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, dict[str, Any]], Path]:
    """Run the stage in this folder; return its counts, its records by name and its parameters' file."""
    with ChatServer(policy) as server:
        engine = {"kind": "openai", "code": "selfevolve/engines/server", "base_url": server.url}
        engine |= {"model": "{policy}", "concurrency": 1, "timeout_s": 60.0, "retries": 0}
        engine |= {"key_variable": "OPENAI_API_KEY"}
        sizes = {"refine.attempts": 3, "refine.sampling.max_new_tokens": 64}
        params = params_file({"engine": engine, **sizes, **changes})
        files = ["--policy", "backbone", "--contexts", "contexts.jsonl", "--responses", "responses.jsonl"]
        files += ["--out", "refined.jsonl", "--metrics", "refined.json"]
        refine.main([*files, "--params", str(params)])
    records = {line["id"].removesuffix("#1"): line for line in read_lines(Path("refined.jsonl"))}
    return json.loads(Path("refined.json").read_text()), records, params
