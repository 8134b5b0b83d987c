"""A server that is given a merged model asks it as it was trained to be asked."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from selfevolve.policies.policy import load_tokenizer, read_policy
from selfevolve.policies.window import ChatTemplate
from selfevolve.records.schema import Message
from selfevolve.runtime.errors import InputError

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<["), min_size=1, max_size=20)
SAID = [
    Message(role="system", content="Be kind.\nSay {{ content }} or 'so'."),
    Message(role="user", content='I "lost" my work.'),
    Message(role="assistant", content="When?"),
    Message(role="user", content="Last week {% if %}"),
]


def rendered(tokenizer: Any, messages: list[Message], jinja: str | None = None) -> str:
    said = [message.model_dump() for message in messages]
    return tokenizer.apply_chat_template(
        said, chat_template=jinja, tokenize=False, add_generation_prompt=True
    )


@pytest.mark.parametrize("name", ["llama3", "qwen", "mistral"])  # of conf/backbone
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@example(texts=[message.content for message in SAID])
@given(texts=st.lists(TEXT, min_size=4, max_size=4))
def test_the_template_for_servers_makes_the_prompt_that_was_trained(
    backbone: Path, name: str, texts: list[str]
):
    template = ChatTemplate(load_tokenizer(read_policy(backbone)), name)
    said = [message.model_copy(update={"content": t}) for message, t in zip(SAID, texts, strict=True)]
    for messages in (said, said[1:]):
        text = rendered(template.tokenizer, messages, template.jinja())
        assert text == template.tokenizer.decode(template.encode(messages))


def test_what_cannot_be_put_in_jinja_is_named(backbone: Path):
    template = ChatTemplate(load_tokenizer(read_policy(backbone)), "chatglm3")
    with pytest.raises(InputError, match="cannot give the chat template 'chatglm3' to a server"):
        template.jinja()


def test_a_policy_without_one_is_not_merged(backbone: Path, tmp_path: Path):
    from selfevolve.policies.merge import merge

    policy = read_policy(backbone)
    other = policy.backbone.model_copy(update={"template": "chatglm3"})
    with pytest.raises(InputError, match="chat template 'chatglm3'"):
        merge(replace(policy, backbone=other), tmp_path / "merged")
    assert list(tmp_path.iterdir()) == []


def test_a_merged_model_has_the_template_of_its_policy_and_not_the_backbone_s_own(
    backbone: Path, tmp_path: Path
):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from selfevolve.policies.merge import merge

    other, adapter, out = tmp_path / "other", tmp_path / "m0", tmp_path / "merged"
    shutil.copytree(backbone, other)
    (other / "chat_template.jinja").write_text("{{ messages[-1]['content'] }}", encoding="utf-8")
    lora = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    get_peft_model(AutoModelForCausalLM.from_pretrained(other), lora).save_pretrained(adapter)
    parent = {"parent": os.path.relpath(other, adapter), "parent_digest": read_policy(other).digest}
    (adapter / "policy.json").write_text(json.dumps(parent), encoding="utf-8")
    assert rendered(load_tokenizer(read_policy(other)), SAID) == SAID[-1].content
    merge(read_policy(adapter), out)
    template = ChatTemplate.of(read_policy(adapter))
    served = AutoTokenizer.from_pretrained(out)
    text = rendered(served, SAID)
    assert text == template.tokenizer.decode(template.encode(SAID))
    assert served.encode(text, add_special_tokens=False) == template.encode(SAID)
