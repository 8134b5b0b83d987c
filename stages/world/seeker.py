"""What a seeker says at a turn of the disclosure schedule."""

from collections.abc import Mapping, Sequence

from stages.world import seeker_lines
from stages.world.grammar import Picker
from stages.world.problems import BY_PHRASE


def reveal(facts: Sequence[str], profile: Mapping[str, str], picker: Picker) -> list[str]:
    """Return one line for each of `facts` (names of facts): the line holds that fact's phrase as it is."""
    return [picker.say(seeker_lines.REVEAL[fact], profile) for fact in facts]


def greet(facts: Sequence[str], profile: Mapping[str, str], picker: Picker) -> str:
    """Return a greeting, with the name if `facts` holds `name`."""
    lines = seeker_lines.GREETING_WITH_NAME if "name" in facts else seeker_lines.GREETING
    return picker.say(lines, profile)


def elaborate(asked: str, profile: Mapping[str, str], picker: Picker) -> str:
    """Return a line without a new fact.

    `asked` is `detail` (what the problem is like), `feeling`, `take_up` (after a suggestion), `take_in`
    (after comfort or information), `thanks` or `goodbye`.
    """
    if asked == "detail":
        return picker.say(BY_PHRASE[profile["problem"]].details, {})
    lines = {
        "feeling": seeker_lines.FEELING,
        "take_up": seeker_lines.TAKE_UP,
        "take_in": seeker_lines.TAKE_IN,
        "thanks": seeker_lines.THANKS,
        "goodbye": seeker_lines.GOODBYE,
    }[asked]
    return picker.say(lines, {})


def situation(profile: Mapping[str, str], picker: Picker) -> str:
    """Return the summary that a seeker writes before the talk; it names problem, cause and emotion."""
    return picker.say(seeker_lines.SITUATION, profile)
