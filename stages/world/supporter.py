"""What a supporter says: one of ESConv's eight strategies in one of three registers."""

from collections.abc import Collection, Mapping
from typing import Literal

from stages.world import generic_lines, personal_lines
from stages.world.grammar import Picker, fitting, slots
from stages.world.problems import BY_PHRASE
from stages.world.vocabulary import SUPPORTS

Register = Literal["generic", "personal", "wrong"]

STRATEGIES = (
    "Question",
    "Restatement or Paraphrasing",
    "Reflection of feelings",
    "Self-disclosure",
    "Affirmation and Reassurance",
    "Providing Suggestions",
    "Information",
    "Others",
)
# A slot that is no fact -> the fact it depends on.
_DERIVED = {"advice": "problem", "offer": "support"}


def respond(
    strategy: str,
    register: Register,
    facts: Mapping[str, str],
    picker: Picker,
    *,
    ask: str = "detail",
    focus: Collection[str] = (),
) -> str:
    """Return a supporter's line.

    `facts` are those the line may name: what the seeker has disclosed so far for `personal`, the facts
    of somebody else (`profile.draw_stranger`) for `wrong`; `generic` names none and ignores them.
    Personal and wrong lines name at least one fact, rather one of `focus` (names of facts) if they can.
    `ask` is the key of `generic_lines.ASK` that a Question asks for.

    Raises:
        ValueError: the strategy or register is unknown, or no line of the strategy fits so few facts
            (see `can_take_up`).
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"unknown strategy: {strategy}")
    if register == "generic":
        lines = generic_lines.ACKNOWLEDGE if strategy == "Question" else generic_lines.GENERIC[strategy]
        text = picker.say(lines, {})
    elif register in ("personal", "wrong"):
        text = _take_up(_personal_lines(strategy), facts, picker, focus)
    else:
        raise ValueError(f"unknown register: {register}")
    return f"{text} {question(ask, picker)}".strip() if strategy == "Question" else text


def can_take_up(strategy: str, facts: Collection[str]) -> bool:
    """Tell whether `respond` has a personal line of `strategy` for these facts (or names of facts)."""
    return bool(fitting(_personal_lines(strategy), _with_derived(facts)))


def question(ask: str, picker: Picker) -> str:
    """Return a question that names no fact; `ask` is a key of `generic_lines.ASK`."""
    return picker.say(generic_lines.ASK[ask], {})


def greet(picker: Picker) -> str:
    """Return a supporter's greeting."""
    return picker.say(generic_lines.GREETING, {})


def take_leave(register: Register, facts: Mapping[str, str], picker: Picker) -> str:
    """Return a supporter's farewell; `facts` as in `respond`."""
    if register == "generic":
        return picker.say(generic_lines.FAREWELL, {})
    return _take_up(personal_lines.FAREWELL, facts, picker, ())


def _personal_lines(strategy: str) -> tuple[str, ...]:
    return personal_lines.LEADS if strategy == "Question" else personal_lines.PERSONAL[strategy]


def _take_up(lines: Collection[str], facts: Mapping[str, str], picker: Picker, focus: Collection[str]) -> str:
    possible = fitting(lines, _with_derived(facts))
    if not possible:
        raise ValueError(f"no line fits the facts {sorted(facts)}")
    in_focus = [line for line in possible if slots(line) & set(focus)]
    values = dict(facts)
    if "problem" in facts:
        values["advice"] = picker.pick(BY_PHRASE[facts["problem"]].advice)
    if "support" in facts:
        values["offer"] = picker.pick(SUPPORTS[facts["support"]])
    return picker.say(in_focus or possible, values)


def _with_derived(facts: Collection[str]) -> set[str]:
    return set(facts) | {slot for slot, fact in _DERIVED.items() if fact in facts}
