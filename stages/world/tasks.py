"""Short instruction items with one checkable answer, in the fields of Alpaca."""

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """One instruction item; `family` names the function that made it and is not published."""

    family: str
    instruction: str
    input: str
    output: str


_WORDS = (
    *("apple", "basket", "bridge", "button", "candle", "castle", "copper", "desert", "engine", "feather"),
    *("forest", "garden", "guitar", "hammer", "island", "kettle", "ladder", "lantern", "marble", "meadow"),
    *("mirror", "needle", "orange", "paper", "pencil", "pepper", "planet", "pocket", "river", "rocket"),
    *("saddle", "shadow", "silver", "spider", "summer", "tiger", "tunnel", "violin", "window", "yellow"),
)
_KINDS = {
    "fruits": ("apple", "banana", "cherry", "grape", "lemon", "mango", "peach", "pear", "plum"),
    "animals": ("bear", "cow", "dog", "fox", "horse", "lion", "rabbit", "sheep", "wolf"),
    "colors": ("black", "blue", "brown", "green", "pink", "purple", "red", "white"),
    "vegetables": ("bean", "cabbage", "carrot", "leek", "onion", "pea", "potato", "spinach"),
    "musical instruments": ("cello", "drum", "flute", "harp", "piano", "trumpet", "violin"),
    "tools": ("chisel", "drill", "hammer", "pliers", "saw", "screwdriver", "wrench"),
}
_OPPOSITES = (
    *(("big", "small"), ("hot", "cold"), ("early", "late"), ("fast", "slow"), ("happy", "sad")),
    *(("high", "low"), ("light", "dark"), ("long", "short"), ("loud", "quiet"), ("new", "old")),
    *(("open", "closed"), ("rich", "poor"), ("soft", "hard"), ("strong", "weak"), ("sweet", "sour")),
    *(("thick", "thin"), ("wet", "dry"), ("wide", "narrow"), ("full", "empty"), ("clean", "dirty")),
    *(("heavy", "light"), ("near", "far"), ("young", "old"), ("rough", "smooth"), ("sharp", "blunt")),
    *(("awake", "asleep"), ("deep", "shallow"), ("hard", "soft"), ("true", "false"), ("calm", "upset")),
    *(("brave", "afraid"), ("first", "last"), ("above", "below"), ("inside", "outside")),
    *(("winter", "summer"), ("day", "night"), ("begin", "end"), ("push", "pull"), ("arrive", "leave")),
    *(("remember", "forget"), ("win", "lose")),
)
_COLOR_OF = {
    **{"grass": "green", "snow": "white", "coal": "black", "a clear sky": "blue", "a ripe tomato": "red"},
    **{"a lemon": "yellow", "a carrot": "orange", "milk": "white", "chocolate": "brown", "a frog": "green"},
    **{"a fire engine": "red", "an eggplant": "purple", "a flamingo": "pink", "a raven": "black"},
}
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_PLURALS = {
    **{"box": "boxes", "child": "children", "city": "cities", "foot": "feet", "leaf": "leaves"},
    **{"man": "men", "mouse": "mice", "knife": "knives", "story": "stories", "tooth": "teeth"},
    **{"bus": "buses", "cat": "cats", "tree": "trees", "house": "houses", "party": "parties"},
}
_PASTS = {
    **{"walk": "walked", "go": "went", "see": "saw", "eat": "ate", "play": "played", "write": "wrote"},
    **{"sing": "sang", "run": "ran", "take": "took", "buy": "bought", "swim": "swam", "jump": "jumped"},
    **{"give": "gave", "find": "found", "bring": "brought", "teach": "taught", "drink": "drank"},
}
_COUNTS = {"two": 2, "three": 3, "four": 4}

_HOLDERS = (
    ("A bag holds {a} apples", "apples are in the bag"),
    ("A bus holds {a} people", "people are on the bus"),
    ("A drawer holds {a} spoons", "spoons are in the drawer"),
    ("A field holds {a} sheep", "sheep are in the field"),
)

Answer = tuple[str, str, str]


def _upper_case(rng: random.Random) -> Answer:
    word = rng.choice(_WORDS)
    wording = ("Write the word in capital letters.", "Upper-case this word.", "Put this word in capitals.")
    return rng.choice(wording), word, word.upper()


def _sum(rng: random.Random) -> Answer:
    a, b = rng.randint(1, 60), rng.randint(1, 39)
    wording = (f"What is {a} plus {b}?", f"Add {a} and {b}.", f"Give the sum of {a} and {b}.")
    return rng.choice(wording), "", str(a + b)


def _difference(rng: random.Random) -> Answer:
    b, rest = rng.randint(1, 30), rng.randint(0, 50)
    wording = (
        f"What is {b + rest} minus {b}?",
        f"Subtract {b} from {b + rest}.",
        f"Take {b} away from {b + rest}.",
    )
    return rng.choice(wording), "", str(rest)


def _list_kind(rng: random.Random) -> Answer:
    kind, count = rng.choice(list(_KINDS)), rng.choice(list(_COUNTS))
    wording = (
        f"List {count} {kind}.",
        f"Name {count} {kind}.",
        f"Give me {count} {kind}, separated by commas.",
    )
    return rng.choice(wording), "", ", ".join(rng.sample(_KINDS[kind], _COUNTS[count]))


def _opposite(rng: random.Random) -> Answer:
    pair = rng.sample(rng.choice(_OPPOSITES), 2)
    wording = (
        f"What is the opposite of {pair[0]}?",
        f"Give an antonym of {pair[0]}.",
        f"Name the opposite of {pair[0]}.",
    )
    return rng.choice(wording), "", pair[1]


def _copy(rng: random.Random) -> Answer:
    words = " ".join(rng.sample(_WORDS, rng.randint(2, 4)))
    wording = ("Copy these words.", "Repeat the words exactly.", "Write the same words again.")
    return rng.choice(wording), words, words


def _color(rng: random.Random) -> Answer:
    thing = rng.choice(list(_COLOR_OF))
    wording = (
        f"What color is {thing}?",
        f"Name the color of {thing}.",
        f"Which color does one expect of {thing}?",
    )
    return rng.choice(wording), "", _COLOR_OF[thing]


def _next_day_or_month(rng: random.Random) -> Answer:
    names, kind = rng.choice(((_DAYS, "day"), (_MONTHS, "month")))
    at = rng.randrange(len(names))
    wording = (f"Which {kind} comes after {names[at]}?", f"Name the {kind} that follows {names[at]}.")
    return rng.choice(wording), "", names[(at + 1) % len(names)]


def _plural(rng: random.Random) -> Answer:
    word = rng.choice(list(_PLURALS))
    wording = (
        f"What is the plural of {word}?",
        f"Give the plural form of {word}.",
        f"Write {word} in the plural.",
    )
    return rng.choice(wording), "", _PLURALS[word]


def _past(rng: random.Random) -> Answer:
    verb = rng.choice(list(_PASTS))
    wording = (
        f"What is the past tense of {verb}?",
        f"Give the simple past of {verb}.",
        f"Put {verb} in the past tense.",
    )
    return rng.choice(wording), "", _PASTS[verb]


def _first_word(rng: random.Random) -> Answer:
    words, (which, at) = rng.sample(_WORDS, 4), rng.choice((("first", 0), ("last", -1)))
    wording = (
        f"Give the {which} word of this list.",
        f"What is the {which} word?",
        f"Return only the {which} word.",
    )
    return rng.choice(wording), " ".join(words), words[at]


def _sort(rng: random.Random) -> Answer:
    words = rng.sample(_WORDS, 3)
    wording = ("Sort these words by the alphabet.", "Put the words in alphabetical order.")
    return rng.choice(wording), ", ".join(words), ", ".join(sorted(words))


def _larger(rng: random.Random) -> Answer:
    a, b = rng.sample(range(1, 100), 2)
    wording = (f"Which number is larger, {a} or {b}?", f"Give the greater number: {a} or {b}.")
    return rng.choice(wording), "", str(max(a, b))


def _count_words(rng: random.Random) -> Answer:
    words = rng.sample(_WORDS, rng.randint(2, 6))
    wording = ("Count the words.", "How many words are in the input?", "Tell me the number of words.")
    return rng.choice(wording), " ".join(words), str(len(words))


def _reverse_list(rng: random.Random) -> Answer:
    words = rng.sample(_WORDS, 3)
    wording = ("Write these words in reverse order.", "Reverse the order of the words.")
    return rng.choice(wording), " ".join(words), " ".join(reversed(words))


def _story_sum(rng: random.Random) -> Answer:
    holds, rest = rng.choice(_HOLDERS)
    a, b = rng.randint(2, 40), rng.randint(2, 12)
    change, result = rng.choice(
        (
            (f"{b} more are added", a + b),
            (f"{b} are taken away", max(0, a - b)),
            (f"someone makes it {b} times as many", a * b),
        )
    )
    return f"{holds.format(a=a)} and {change}. How many {rest} then?", "", str(result)


def _only_this(rng: random.Random) -> Answer:
    word = rng.choice(_WORDS)
    how, answer = rng.choice(
        (
            ("this word", word),
            ("this word in capital letters", word.upper()),
            ("this word twice, with a space between,", f"{word} {word}"),
        )
    )
    return f"Write {how} and nothing else: {word}", "", answer


_FAMILIES: tuple[Callable[[random.Random], Answer], ...] = (
    *(_upper_case, _sum, _difference, _list_kind, _opposite, _copy, _color, _next_day_or_month),
    *(_plural, _past, _first_word, _sort, _larger, _count_words, _reverse_list, _story_sum, _only_this),
)
FAMILIES = tuple(make.__name__.lstrip("_") for make in _FAMILIES)


def draw_task(rng: random.Random) -> Task:
    """Return an item of a random family; the same one may come again."""
    at = rng.randrange(len(_FAMILIES))
    return Task(FAMILIES[at], *_FAMILIES[at](rng))


def make_tasks(count: int, rng: random.Random, unwanted: Collection[str] = ()) -> list[Task]:
    """Return `count` items, the families by turns; no two have the same instruction and input.

    None has an instruction of `unwanted` (questions of a test, for example).

    A small family runs out of new items; its place then goes to the next one, so that any count below
    some hundred thousand can be had.
    """
    tasks: list[Task] = []
    seen: set[tuple[str, str]] = set()
    turn = 0
    while len(tasks) < count:
        make, family = _FAMILIES[turn % len(_FAMILIES)], FAMILIES[turn % len(_FAMILIES)]
        turn += 1
        instruction, given, output = make(rng)
        if (instruction, given) not in seen and instruction not in unwanted:
            seen.add((instruction, given))
            tasks.append(Task(family, instruction, given, output))
    return tasks
