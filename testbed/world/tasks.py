"""Short instruction items with one checkable answer, in the fields of Alpaca.

A family is a case here, and its wordings are in tasks.yaml under the same name.
"""

import random
from collections.abc import Collection

from selfevolve.data.corpus import AlpacaItem
from testbed.world.data import world

_COUNTS = {"two": 2, "three": 3, "four": 4}
Answer = tuple[str, str, str]  # instruction, input, output


def families() -> list[str]:
    """Return the names of all families."""
    return [*world().tasks.wording, "only_this"]


def draw_task(rng: random.Random) -> AlpacaItem:
    """Return an item of a random family, whose name is its id; the same one may come again."""
    return _task(rng.choice(families()), rng)


def make_tasks(count: int, rng: random.Random, unwanted: Collection[str] = ()) -> list[AlpacaItem]:
    """Return `count` items, the families by turns; no two have the same instruction and input.

    A small family runs out of new items, and its place goes to the next one. `unwanted` are instructions
    that none may have, such as the questions of a test.
    """
    tasks: dict[tuple[str, str], AlpacaItem] = {}
    turn = 0
    while len(tasks) < count:
        task = _task(families()[turn % len(families())], rng)
        turn += 1
        if task.instruction not in unwanted:
            tasks.setdefault((task.instruction, task.input), task)
    return list(tasks.values())


def _task(family: str, rng: random.Random) -> AlpacaItem:
    instruction, given, output = _on_words(family, rng)
    return AlpacaItem(id=family, instruction=instruction, input=given, output=output)


def _ask(family: str, rng: random.Random, **values: object) -> str:
    """Return one of a family's wordings with these values in their places."""
    return rng.choice(world().tasks.wording[family]).format(**values)


def _on_words(family: str, rng: random.Random) -> Answer:
    tables = world().tasks
    match family:
        case "upper_case":
            word = rng.choice(tables.words)
            return _ask(family, rng), word, word.upper()
        case "copy":
            words = rng.sample(tables.words, rng.randint(2, 4))
            return _ask(family, rng), " ".join(words), " ".join(words)
        case "first_word":
            words, (which, at) = rng.sample(tables.words, 4), rng.choice((("first", 0), ("last", -1)))
            return _ask(family, rng, which=which), " ".join(words), words[at]
        case "sort":
            words = rng.sample(tables.words, 3)
            return _ask(family, rng), ", ".join(words), ", ".join(sorted(words))
        case "count_words":
            words = rng.sample(tables.words, rng.randint(2, 6))
            return _ask(family, rng), " ".join(words), str(len(words))
        case "reverse_list":
            words = rng.sample(tables.words, 3)
            return _ask(family, rng), " ".join(words), " ".join(reversed(words))
        case "only_this":
            word = rng.choice(tables.words)
            asked, answer = rng.choice(list(tables.only_this.items()))
            return asked.format(word=word), "", answer.format(word=word, upper=word.upper())
        case _:
            return _on_numbers_and_tables(family, rng)


def _on_numbers_and_tables(family: str, rng: random.Random) -> Answer:
    tables = world().tasks
    match family:
        case "sum":
            a, b = rng.randint(1, 60), rng.randint(1, 39)
            return _ask(family, rng, a=a, b=b), "", str(a + b)
        case "difference":
            b, rest = rng.randint(1, 30), rng.randint(0, 50)
            return _ask(family, rng, a=b + rest, b=b), "", str(rest)
        case "larger":
            a, b = rng.sample(range(1, 100), 2)
            return _ask(family, rng, a=a, b=b), "", str(max(a, b))
        case "story_sum":
            story = rng.choice(tables.wording[family])
            a, b = rng.randint(2, 40), rng.randint(2, 12)
            results = (a + b, max(0, a - b), a * b)
            change, result = rng.choice(list(zip(tables.changes, results, strict=True)))
            return story.format(a=a, change=change.format(b=b)), "", str(result)
        case "list_kind":
            kind, count = rng.choice(list(tables.kinds)), rng.choice(list(_COUNTS))
            asked = _ask(family, rng, count=count, kind=kind)
            return asked, "", ", ".join(rng.sample(tables.kinds[kind], _COUNTS[count]))
        case "opposite":
            word, opposite = rng.sample(rng.choice(tables.opposites), 2)
            return _ask(family, rng, word=word), "", opposite
        case "next_day_or_month":
            kind, names = rng.choice(list(tables.in_order.items()))
            at = rng.randrange(len(names))
            return _ask(family, rng, kind=kind, name=names[at]), "", names[(at + 1) % len(names)]
        case _:
            word, answer = rng.choice(list(tables.looked_up[family].items()))
            return _ask(family, rng, word=word), "", answer
