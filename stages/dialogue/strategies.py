"""ESConv's eight support strategies, as the paper's prompts spell them (appendix E.1)."""

STRATEGIES = (
    "Question",
    "Affirmation and Reassurance",
    "Reflection of Feelings",
    "Information",
    "Providing Suggestions",
    "Restatement or Paraphrasing",
    "Self-disclosure",
    "Others",
)

_BY_LOWER_CASE = {name.lower(): name for name in STRATEGIES}


def strategy_names(annotated: str | list[str] | None) -> list[str]:
    """Return annotated strategies as a list, ESConv's names in the paper's capitals.

    ESConv.json writes `Reflection of feelings`. Names that are not ESConv's are kept; blank ones and
    None mean that no strategy was annotated.
    """
    names = [annotated] if isinstance(annotated, str) else annotated or []
    return [_BY_LOWER_CASE.get(name.strip().lower(), name.strip()) for name in names if name.strip()]
