"""Every command, path and parameter that the README and the other pages name exists."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), ROOT / "backbones/README.md"]
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
COMMANDS = re.findall(r"^\$ (.+?)(?:\s+#.*)?$", TEXT, re.MULTILINE)
CODE = re.findall(r"`([^`\n]+)`", TEXT)
MADE_BY_RUNS = ("metrics/", "models/", "data/", "ratings/", ".scratch/", ".venv")


def make_targets() -> set[str]:
    text = (ROOT / "Makefile").read_text()
    return {name for line in re.findall(r"^([a-z0-9 -]+):", text, re.MULTILINE) for name in line.split()}


def test_the_readme_has_commands_to_check():
    assert len(COMMANDS) >= 8
    assert "make m2" in COMMANDS
    assert "make test" in COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_exists(command: str):
    words = command.split()
    if words[0] == "make":
        assert words[1] in make_targets()
        check_variables(command)
    elif words[0] == "dvc":
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *[w for w in words[1:] if w.isalpha()], "--help"],
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0
    elif words[0] == "python":
        done = subprocess.run(
            [sys.executable, *words[1:3], "--help"], capture_output=True, text=True, cwd=ROOT, check=False
        )
        assert done.returncode == 0
        assert all(word in done.stdout for word in words if word.startswith("--"))
    else:
        raise AssertionError(f"no check for {command}")


def check_variables(command: str) -> None:
    for group, name in re.findall(r"(BACKBONE|DATA|SCALE|ENGINE|JUDGE|HARDWARE)=([\w-]+)", command):
        assert (ROOT / "conf" / group.lower() / f"{name}.yaml").exists(), command
    for setting in re.findall(r'SET="([^"]+)"', command):
        for pair in setting.split():
            section = yaml.safe_load((ROOT / "params.yaml").read_text())
            for part in pair.split("=")[0].split("."):
                assert part in section, command
                section = section[part]


@pytest.mark.parametrize("code", [c for c in CODE if "=" in c and c.split("=")[0].isupper()])
def test_a_variable_in_the_text_exists(code: str):
    assert f"$({code.split('=')[0]})" in (ROOT / "Makefile").read_text()
    check_variables(code)


def test_every_path_in_the_text_exists():
    paths = [c for c in CODE if re.fullmatch(r"[\w./-]+/[\w./-]*|\w+\.(yaml|txt)", c)]
    assert len(paths) > 8
    for path in paths:
        if not path.startswith(MADE_BY_RUNS) and not path.startswith("data/"):
            found = [ROOT / path, ROOT / "llamafactory_configs" / path]
            assert any(candidate.exists() for candidate in found), path
    assert (ROOT / "data/empty.jsonl").exists()


def test_the_tree_in_the_readme_is_the_tree():
    tree = README[README.index("Makefile               ") :].split("```")[0]
    rooms = re.findall(r"^  (\w+)/", tree, re.MULTILINE)
    assert set(rooms) == {p.parent.name for p in (ROOT / "stages").glob("*/__init__.py")}
    for name in re.findall(r"^(\w[\w./]+?)/? ", tree, re.MULTILINE):
        assert (ROOT / name).exists() or name in ("data", "models", "metrics"), name


def test_parameters_named_in_the_text_exist():
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    named = [c for c in CODE if re.fullmatch(r"(pair|prompts|contexts|refine|train|judge)\.\w+(\.\w+)*", c)]
    assert named
    for name in named:
        section = params
        for part in name.split("."):
            assert part in section, name
            section = section[part]


def test_the_model_card_says_what_was_measured():
    skills = json.loads((ROOT / "metrics/backbone/skills.json").read_text(encoding="utf-8"))["skills"]
    card = (ROOT / "backbones/README.md").read_text(encoding="utf-8")
    for name, share in skills.items():
        numbers = f"{share['percent']:.1f} | {share['low']:.1f} to {share['high']:.1f} | {share['n']}"
        assert f"| {name} | {numbers} |\n" in card


def test_no_machine_path_stands_in_a_tracked_text_file():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    suffixes = (".py", ".md", ".yaml", ".yml", ".txt", ".in", ".toml", ".json")
    files = [name for name in listed if name.endswith(suffixes) and (ROOT / name).is_file()]
    assert len(files) > 50
    pattern = re.compile(r"/(work|root|home|opt)/\w+")
    for name in files:
        if name != Path(__file__).relative_to(ROOT).as_posix():
            assert not pattern.search((ROOT / name).read_text(encoding="utf-8")), name
