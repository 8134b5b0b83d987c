"""The folder of the study: every number in `study.json`, the tables in `README.md`."""

from pathlib import Path
from typing import Any

from stages.findings.controls import SYMPTOMS, controls, sources
from stages.findings.effects import effects
from stages.findings.markdown import (
    controls_table,
    effects_table,
    models_table,
    sources_table,
    turns_table,
)
from stages.findings.runs import Run
from stages.records.publish import publish_json, publishing

METHOD = "self"  # the arm that is the paper's method
SOURCES = {"{SR, P}": METHOD, "{HL, P}": "golden", "{HM, P}": "human"}  # the paper's names (section 4.4)
MADE = ("m1", "m2")


def publish(out: Path, made_by: dict[str, Any], bases: list[Run], arms: dict[str, list[Run]]) -> None:
    """Write `study.json` with every number and `README.md` with the tables into the folder `out`.

    Args:
        out: the folder, replaced as a whole.
        made_by: `commit` and `seeds`.
        bases: what the arms share, one a seed.
        arms: the runs by arm, one a seed.
    """
    names = {name: arm for name, arm in SOURCES.items() if arm in arms}
    found, unknown = effects(arms[METHOD], bases)
    spoilt, unknown_controls = controls(arms, arms[METHOD], bases)
    by_source, unknown_sources = sources(arms, names, arms[METHOD], bases)
    not_run = [f"{arm}: not run" for arm in dict.fromkeys((*SYMPTOMS, *SOURCES.values())) if arm not in arms]
    not_available = [*unknown, *unknown_controls, *unknown_sources, *not_run]
    models = {
        "vanilla": [base.models["vanilla"] for base in bases],
        "M0": [base.models["m0"] for base in bases],
    }
    models |= {
        f"{arm}: {model.upper()}": [r.models[model] for r in runs]
        for arm, runs in arms.items()
        for model in MADE
    }
    sections = {
        "What must come out": effects_table(found),
        "Controls": controls_table(spoilt),
        "Sources of preferences: own facts taken up": sources_table(by_source),
        "Reflections of M0 by seeker turns seen": turns_table(bases),
        "All models": models_table(models),
    }
    if not_available:
        missing = "\n".join(f"- {name}" for name in not_available)
        sections["Not run, or not measured in every seed, so left out"] = missing
    text = "".join(f"\n## {title}\n\n{section}\n" for title, section in sections.items())
    made = f"Commit {made_by['commit']}, seeds {', '.join(map(str, made_by['seeds']))}; means over seeds."
    with publishing(out) as folder:
        folder.mkdir()
        publish_json(
            folder / "study.json",
            {
                **made_by,
                "effects": [effect.as_json() for effect in found],
                "controls": [control.as_json() for control in spoilt],
                "sources": by_source,
                "not_available": not_available,
                "runs": [_numbers(run) for run in (*bases, *(run for runs in arms.values() for run in runs))],
            },
        )
        (folder / "README.md").write_text(f"# The study's tables\n\n{made}\n{text}", encoding="utf-8")


def _numbers(run: Run) -> dict[str, Any]:
    return {"arm": run.arm, "seed": run.seed, "models": run.models, "iterations": run.iterations}
