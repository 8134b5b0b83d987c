"""Where the rubrics stand, and what each of them must have.

They stand here and not among the prompts of `stages/prompts`: what the models are trained on depends on
those, and an edit of a rubric must not let the pipeline generate and train anew.
"""

from pathlib import Path

from stages.judging.verdicts import DIMENSIONS

RUBRICS = Path(__file__).parent / "rubrics"
TEXTS: dict[str, set[str]] = {
    **{dimension: set() for dimension in DIMENSIONS},
    "request": {"dialogue", "response"},
    "pair": set(),
    "pair_request": {"dialogue", "response_a", "response_b"},
}
"""The files without .txt, and their placeholders: a rubric is the system message, a request the user's."""
