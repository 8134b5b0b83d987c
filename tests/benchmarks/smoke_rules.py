"""The rules by which the rows of the smoke tasks were made.

arithmetic: item i asks for a + b, a - b or a * b (i mod 3) about one of four things (i mod 4).
opposites: the pairs below; the three wrong choices are the opposites of the next three pairs, and the
    right one stands at place i mod 4.
instructions: word i is to be given as it is, in capitals, or twice (i mod 3), and nothing else.
"""

from typing import Any

ITEMS = 40
THINGS = (
    ("A shelf holds {a} books", "books are on the shelf"),
    ("A jar holds {a} buttons", "buttons are in the jar"),
    ("A tray holds {a} cups", "cups are on the tray"),
    ("A box holds {a} candles", "candles are in the box"),
)
CHANGES = (
    "{b} more are added",
    "{b} are taken away",
    "someone makes it {b} times as many",
)
OPPOSITES = (
    "hot cold,big small,early late,open closed,full empty,loud quiet,heavy light,wet dry,near far,young old,"
    "rough smooth,sweet bitter,strong weak,thick thin,sharp blunt,clean dirty,rich poor,awake asleep,"
    "deep shallow,wide narrow,hard soft,true false,calm upset,brave afraid,happy sad,first last,above below,"
    "inside outside,winter summer,day night,begin end,push pull,arrive leave,remember forget,win lose,"
    "buy sell,float sink,laugh cry,rise fall,give take"
)
WORDS = (
    "lantern,harbour,meadow,kettle,violin,pebble,orchard,window,blanket,compass,ladder,feather,thunder,garden,"
    "pocket,bridge,candle,basket,mirror,saddle,anchor,button,castle,desert,engine,forest,guitar,hammer,island,"
    "jacket,kitten,lemon,magnet,needle,oyster,pencil,quilt,ribbon,silver,turnip"
)
INSTRUCTIONS = (
    ("Write this word and nothing else: {word}", "{word}"),
    ("Write this word in capital letters and nothing else: {word}", "{upper}"),
    ("Write this word twice, with a space between, and nothing else: {word}", "{word} {word}"),
)


def rows() -> dict[str, list[dict[str, Any]]]:
    """Return the rows of every file of the smoke tasks: file name -> rows."""
    return {
        "arithmetic.jsonl": [_arithmetic(i) for i in range(ITEMS)],
        "arithmetic_fewshot.jsonl": [_arithmetic(i) for i in range(ITEMS, ITEMS + 2)],
        "opposites.jsonl": [_opposite(i) for i in range(ITEMS)],
        "instructions.jsonl": [_instruction(i) for i in range(ITEMS)],
    }


def _arithmetic(i: int) -> dict[str, str]:
    a, b = 10 + (7 * i) % 23, 2 + (5 * i) % 7
    holds, are = THINGS[i % 4]
    question = f"{holds} and {CHANGES[i % 3]}. How many {are} then?".format(a=a, b=b)
    return {"question": question, "answer": str((a + b, a - b, a * b)[i % 3])}


def _opposite(i: int) -> dict[str, Any]:
    pairs = [pair.split() for pair in OPPOSITES.split(",")]
    choices = [pairs[(i + step) % len(pairs)][1] for step in (1, 2, 3)]
    choices.insert(i % 4, pairs[i][1])
    return {"word": pairs[i][0], "choices": choices, "label": i % 4}


def _instruction(i: int) -> dict[str, str]:
    word = WORDS.split(",")[i]
    prompt, answer = (text.format(word=word, upper=word.upper()) for text in INSTRUCTIONS[i % 3])
    return {"prompt": prompt + "\n", "answer": answer}
