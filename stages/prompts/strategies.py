"""The eight support strategies of ESConv and what each means, in this project's words."""

STRATEGIES: dict[str, str] = {
    "Question": "ask about the problem, so that the seeker can put into words what troubles them.",
    "Affirmation and Reassurance": "confirm what the seeker feels or has done, and encourage them.",
    "Reflection of Feelings": "say in your own words what the seeker seems to feel.",
    "Information": "give facts, opinions or resources that bear on the problem, or answer a question.",
    "Providing Suggestions": "offer a way to go about the problem, and leave the choice to the seeker.",
    "Restatement or Paraphrasing": "sum up what the seeker said, so that the situation becomes clearer.",
    "Self-disclosure": "tell of a similar experience or feeling of your own to show that you understand.",
    "Others": "greet, thank, say goodbye, or support in any other way.",
}


def strategy_names() -> str:
    """Return the eight names as one comma-separated line."""
    return ", ".join(STRATEGIES)


def strategy_guidelines() -> str:
    """Return the eight names with what they mean, one numbered line each."""
    lines = [f"{n}. {name}: {meaning}" for n, (name, meaning) in enumerate(STRATEGIES.items(), start=1)]
    return "\n".join(lines)
