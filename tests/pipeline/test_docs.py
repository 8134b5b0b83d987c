"""Every command, path and parameter that the README and the other pages name exists."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, run_here

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted(ROOT.glob("docs/*.md")),
    *(ROOT / name / "README.md" for name in ("testbed", "rating", "bench", "selfevolve/engines/local")),
    ROOT / "testbed/model-card.md",
]
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
COMMANDS = re.findall(r"^\$ (.+?)(?:\s+#.*)?$", TEXT, re.MULTILINE)
CODE = re.findall(r"`([^`\n]+)`", TEXT)
MADE_BY_RUNS = ("testbed/runs/", "metrics/", "models/", "data/", "ratings/", ".scratch/", ".venv")


def make_targets() -> set[str]:
    text = (ROOT / "Makefile").read_text()
    return {name for line in re.findall(r"^([a-z0-9 -]+):", text, re.MULTILINE) for name in line.split()}


def test_the_readme_has_commands_to_check():
    assert len(COMMANDS) >= 8
    assert "make m2" in COMMANDS
    assert "make test" in COMMANDS


@pytest.mark.parametrize("command", dict.fromkeys(COMMANDS))
def test_a_command_exists(command: str):
    words = command.split()
    if words[0] == "make":
        assert words[1] in make_targets()
        check_variables(command)
    elif words[0] == "dvc":
        from dvc.cli.parser import get_main_parser

        with pytest.raises(SystemExit) as ended:
            get_main_parser().parse_args([*[w for w in words[1:] if w.isalpha()], "--help"])
        assert ended.value.code == 0
    elif words[0] == "python":
        done = run_here(words[2], "--help", cwd=ROOT)
        assert done.returncode == 0
        assert all(word in done.stdout for word in words if word.startswith("--"))
    else:
        raise AssertionError(f"no check for {command}")


def check_variables(command: str) -> None:
    for group, name in re.findall(r"(BACKBONE|DATA|SCALE|ENGINE|JUDGE|HARDWARE|LOSS)=([\w-]+)", command):
        assert (ROOT / "conf" / group.lower() / f"{name}.yaml").exists(), command
    for setting in re.findall(r'SET="([^"]+)"', command):
        for pair in setting.split():
            section = yaml.safe_load((ROOT / "params.yaml").read_text())
            for part in pair.split("=")[0].split("."):
                assert part in section, command
                section = section[part]


@pytest.mark.parametrize("code", [c for c in CODE if "=" in c and c.split("=")[0].isupper()])
def test_a_variable_in_the_text_exists(code: str):
    name, makefile = code.split("=")[0], (ROOT / "Makefile").read_text()
    assert f"$({name})" in makefile or f"export {name} ?=" in makefile
    check_variables(code)


def test_every_path_in_the_text_exists():
    """From the repository's root, from the page's own folder, or among LLaMA-Factory's YAML files."""
    checked = 0
    for page in PAGES:
        for code in re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8")):
            if re.fullmatch(r"[\w./-]+/[\w./-]*|\w+\.(yaml|txt)", code) and not code.startswith(MADE_BY_RUNS):
                checked += 1
                found = [ROOT / code, page.parent / code, ROOT / "llamafactory_configs" / code]
                assert any(candidate.exists() for candidate in found), f"{page.name}: {code}"
    assert checked > 8
    assert (ROOT / "data/empty.jsonl").exists()


def test_the_readme_is_short_and_its_tree_is_the_tree():
    assert len(README.splitlines()) <= 150
    tree = README[README.index("dvc.yaml               ") :].split("```")[0]
    rooms = re.findall(r"^  (\w+)/", tree, re.MULTILINE)
    assert set(rooms) == {p.parent.name for p in (ROOT / "selfevolve").glob("*/__init__.py")}
    for name in re.findall(r"^(\w[\w./]+?)/? ", tree, re.MULTILINE):
        assert (ROOT / name).exists() or name in ("data", "models", "metrics"), name


def test_every_row_of_how_do_i_names_a_file_and_every_link_leads_somewhere():
    rows = re.findall(
        r"^\| (?!to \.\.\.|---)(.+) \| (.+) \|$", README[README.index("## How do I") :], re.MULTILINE
    )
    assert len(rows) >= 10
    for task, where in rows:
        named = [part for part in re.findall(r"`([^`]+)`", where) if (ROOT / part).exists()]
        assert named or "python -m" in where or "make " in where, task
    for page in PAGES:
        for link in re.findall(r"\]\(([\w./-]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_index_lists_every_page():
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    assert {p.name for p in ROOT.glob("docs/*.md")} == {"README.md", *re.findall(r"\[([\w-]+\.md)\]", index)}


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
    card = (ROOT / "testbed/model-card.md").read_text(encoding="utf-8")
    for name, share in skills.items():
        numbers = f"{share['percent']:.1f} | {share['low']:.1f} to {share['high']:.1f} | {share['n']}"
        assert f"| {name} | {numbers} |\n" in card


def test_the_readme_s_table_is_the_study_s():
    tables = (ROOT / "metrics/study/README.md").read_text(encoding="utf-8")
    method = tables.split("### The method over the seeds")[1].split("###")[0].splitlines()
    shown = [line for line in README.splitlines() if re.match(r"\| (model|vanilla|m\d) \|", line)]
    assert [line.split()[1] for line in shown] == ["model", "vanilla", "m0", "m1", "m2"]
    assert set(shown) <= set(method)


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
