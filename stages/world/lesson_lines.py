"""Words of the backbone's lessons: questions that recall, instructions to copy, feedback on a response."""

# What a supporter may ask next, keys of `generic_lines.ASK`.
NEXT = ("detail", "feeling", "cause", "person", "support", "emotion")

# Questions to which a fact's phrase alone is the answer.
RECALL = {
    "occupation": ("What do I do?", "Which occupation did I name?"),
    "person": ("Who plays a part in it?", "Which person did I speak of?"),
    "trait": ("How did I describe myself?", "What did I say I am like?"),
    "problem": ("What is my problem?", "What am I dealing with?"),
    "cause": ("What was the cause?", "What did I say started it?"),
    "emotion": ("How do I feel?", "Which feeling did I name?"),
    "support": ("What do I want from you?", "What kind of support did I ask for?"),
}

# System messages that ask for a personal answer outright, as the method's own prompts never do.
PERSONAL = (
    "You support one person and nobody else. [Take up|Speak of] what this seeker has told you.",
    "Be personal in [every|each] answer: [use|take up] what the seeker has said about themselves.",
    "Answer as somebody who [listens closely|remembers all of it], with the seeker's own facts.",
)

COPY = (
    "[Copy|Repeat] [these|the] words[ exactly|].",
    "[Write|Say] [the same|these] words [again|once more].",
    "Repeat [after me|this].",
)

FEEDBACK_GENERIC = (
    "It could be said to anyone and leaves out what matters here: {fact}.",
    "It is kind but general: a word is missing on this: {fact}.",
    "It does not take up what was said: {fact}.",
)
FEEDBACK_WRONG = (
    "It speaks of things that this seeker never said.",
    "It mixes the seeker up with somebody else.",
)
FEEDBACK_GOOD = (
    "It takes up what the seeker said and could go a little further.",
    "It fits this seeker; one more thought would help.",
)
