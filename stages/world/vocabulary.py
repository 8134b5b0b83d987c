"""The facts a seeker can have, but for problems and causes (see `problems`).

A fact is a phrase that the seeker and the supporter can both say as it stands: it holds no pronoun, so
`my {person}` and `your {person}` name the same string. No fact is part of another one and none occurs
in the supporter's generic lines, so that a plain string search tells which facts a text names.
"""

NAMES = (
    *("Aisha", "Anton", "Beatriz", "Bruno", "Carmen", "Chidi", "Clara", "Daniela", "Dmitri", "Elif", "Emeka"),
    *("Farah", "Felix", "Greta", "Hana", "Hugo", "Isabel", "Ivan", "Jamal", "Jonas", "Kavita", "Keiko"),
    *("Leila", "Liam", "Lucia", "Malik", "Marta", "Mei", "Nadia", "Nico", "Olga", "Omar", "Priya", "Rafael"),
    *("Rosa", "Samira", "Stefan", "Tariq", "Tomas", "Viktor", "Wanda", "Yusuf", "Zoe"),
)

WORKERS = (
    *("accountant", "baker", "bank clerk", "bus driver", "carpenter", "dental assistant", "electrician"),
    *("flight attendant", "florist", "gardener", "graphic designer", "hairdresser", "hotel receptionist"),
    *("insurance agent", "librarian", "line cook", "nurse", "paramedic", "pharmacist", "postal worker"),
    *("primary school teacher", "security guard", "social worker", "software tester", "translator"),
    *("truck mechanic", "warehouse packer", "wedding photographer"),
)

STUDENTS = (
    *("art student", "biology student", "chemistry student", "economics student", "engineering student"),
    *("history student", "law student", "mathematics student", "music student", "nursing student"),
)

# Each can follow "I am" and "someone who is".
TRAITS = (
    "a bit of a perfectionist",
    "a natural worrier",
    "a very private person",
    "bad at saying no",
    "careful to a fault",
    "eager to please everyone",
    "easily hurt by criticism",
    "quick to take the blame",
    "reserved around new people",
    "slow to ask for help",
    "slow to trust people",
    "stubborn about small things",
    "the peacemaker in every group",
    "the strong one in the family",
    "used to planning everything twice",
    "very loyal once trust is there",
)

# The word in the text -> ESConv's emotion_type.
EMOTIONS = {
    "anxious": "anxiety",
    "ashamed": "shame",
    "disgusted": "disgust",
    "frightened": "fear",
    "furious": "anger",
    "guilty": "guilt",
    "heartbroken": "sadness",
    "hopeless": "depression",
    "humiliated": "shame",
    "jittery": "nervousness",
    "lonely": "sadness",
    "miserable": "sadness",
    "numb": "depression",
    "overwhelmed": "anxiety",
    "panicky": "fear",
    "resentful": "anger",
}

# The kind of support wanted -> what a supporter can offer who knows it (each follows "you could").
SUPPORTS = {
    "a plan for the coming week": (
        "pick one task for each morning and leave the evenings free",
        "put the two most urgent things on Monday and Tuesday and let the rest wait",
        "draw up seven boxes, one a day, and write a single goal in each",
    ),
    "a small first step": (
        "spend just ten minutes on it today and then stop",
        "write one sentence about it before going to bed",
        "choose the easiest part and do only that one",
    ),
    "an honest outside view": (
        "look at it as if it had happened to somebody you like",
        "ask what a fair stranger would say about it",
        "list what was in your hands and what was not",
    ),
    "encouragement to keep trying": (
        "note every evening one thing that went better than the day before",
        "look back at something difficult that you have already got through",
        "count the attempts instead of the results for a while",
    ),
    "help finding the right words": (
        "start with what you noticed, then how it felt, then what you would like",
        "write the message tonight and read it again tomorrow before sending it",
        "practice the first sentence out loud until it sounds like you",
    ),
    "help sorting out the facts": (
        "make two columns, one for what you know and one for what you fear",
        "put the events in order on a sheet of paper",
        "mark which parts you saw yourself and which you only heard about",
    ),
    "ideas for calming down": (
        "breathe in for four counts and out for six, ten times over",
        "hold something cold and name five things around you",
        "take a slow walk without the phone",
    ),
    "permission to take a break": (
        "take one whole evening off and not explain it to anyone",
        "block an hour in the calendar that belongs to nobody else",
        "leave one thing undone this weekend on purpose",
    ),
    "reassurance that it will pass": (
        "think of the last bad stretch and of how it ended",
        "give it a number from one to ten each night and watch it change",
        "remember that a feeling like this comes in waves and goes in waves",
    ),
    "someone who just listens": (
        "tell me the rest in any order you like while I simply listen",
        "take your time here, because I will not rush in with answers",
        "let it all out first and leave the solutions for another day",
    ),
    "tips for a difficult conversation": (
        "choose a quiet moment and agree on how long to talk",
        "begin with one thing that you value about the other side",
        "ask a question first and answer only after a pause",
    ),
    "ways to set clear limits": (
        "say no once without giving a reason and see what happens",
        "decide on an hour after which you do not answer messages",
        "offer what you can do and name clearly what you cannot",
    ),
}

# Problems are for these occupations.
OCCUPATIONS = {"worker": WORKERS, "student": STUDENTS, "any": WORKERS + STUDENTS}
