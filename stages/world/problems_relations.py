"""Problems with partners, friends, parents and children."""

from stages.world.problem import Problem

BREAKUP = Problem(
    phrase="a painful breakup",
    problem_type="breakup with partner",
    scene="Breakups or Divorce",
    who="any",
    persons=("ex-husband", "ex-wife", "former partner", "first love"),
    heads=(
        *("the goodbye text", "the cancelled engagement", "the silent move-out"),
        *("the discovered affair", "the long talk in the car", "the farewell note on the table"),
    ),
    tails=(
        *("after six years together", "just before the anniversary", "on the night of a friend's wedding"),
        *(
            "right after the trip to the coast",
            "two days after a happy birthday",
            "without any real explanation",
        ),
    ),
    details=(
        (
            "[The apartment|The place] is [so|much too] quiet now, and I [keep the radio on|leave the lights "
            "on all night]."
        ),
        "I still [reach for my phone|set two cups on the table] [every morning|before I remember].",
        "[Every|Every second] song on the radio [seems|turns out] to be about people who lost each other.",
        (
            "I [reread|keep scrolling through] our old messages, [although|even though] I [know "
            "better|should stop]."
        ),
    ),
    advice=(
        "put the old photos in a box and give the box to someone you trust",
        "mute the old chat for a month",
        "plan something small for the evenings that feel the longest",
    ),
)
DISTANCE = Problem(
    phrase="a shaky long-distance relationship",
    problem_type="breakup with partner",
    scene="Communication Challenges",
    who="any",
    persons=("boyfriend", "girlfriend", "fiancé", "long-time partner"),
    heads=(
        *("the cancelled visit", "the missed video call", "the job offer abroad"),
        *("the unanswered message", "the forgotten anniversary", "the vague talk about moving in together"),
    ),
    tails=(
        *("after months of waiting", "in the middle of a hard month", "just before the long weekend"),
        *(
            "at the worst possible time",
            "so soon after the last argument",
            "three weeks before the planned trip",
        ),
    ),
    details=(
        "We [talk|speak] for [five|ten] minutes and then [run out of things to say|there is only silence].",
        "I [plan|arrange] my whole day around [a call|one phone call] that [may|might] not even happen.",
        "With [eight|six] hours between us, one of us is always [tired|half asleep].",
        "I [look at|check] train tickets [at night|in every break] and never [buy one|book anything].",
    ),
    advice=(
        "agree on two fixed evenings a week and keep them short",
        "say plainly what you need before the next trip",
        "send a voice message instead of a text when it matters",
    ),
)
FRIENDS = Problem(
    phrase="a falling-out among friends",
    problem_type="problems with friends",
    scene="Conflicts with Friends",
    who="any",
    persons=("best friend", "childhood friend", "roommate", "running buddy"),
    heads=(
        *("the leaked secret", "the skipped birthday dinner", "the unpaid loan"),
        *("the joke in the group chat", "the missing invitation", "the argument about the shared apartment"),
    ),
    tails=(
        *("after the camping trip", "during a stressful month", "at the end of the summer"),
        *("after ten years of friendship", "shortly before the reunion", "on top of an old quarrel"),
    ),
    details=(
        (
            "The group chat [went silent|has been quiet] and I [suspect|think] there is [a new one|another "
            "one] without me."
        ),
        (
            "I [saw|came across] the pictures of [their|the] [weekend|party] and [was not in any of "
            "them|nobody had told me]."
        ),
        "People [choose sides|take sides], and I [never wanted|did not ask for] that.",
        "I [typed|wrote] [a long message|three messages] and [deleted it all|sent nothing in the end].",
    ),
    advice=(
        "invite one person for coffee instead of writing to all of them",
        "say what hurt without guessing why it was done",
        "wait two days before answering the next message",
    ),
)
PARENTS = Problem(
    phrase="constant arguments at home",
    problem_type="conflict with parents",
    scene="Family Conflicts",
    who="any",
    persons=("mother", "father", "stepdad", "grandma"),
    heads=(
        *("the fight about money", "the quarrel over moving out", "the dispute about the wedding plans"),
        *("the slammed door", "the accusation of being selfish", "the broken promise about the car"),
    ),
    tails=(
        *("at Sunday dinner", "in front of the relatives", "on the last visit"),
        *("during the drive home", "at the end of a calm month", "the night before a trip"),
    ),
    details=(
        (
            "[We can|We manage to] be polite for [an hour|one meal], and then [somebody|one of us] starts "
            "[again|it all over]."
        ),
        (
            "I [let the phone ring|do not pick up] when [home|the family] calls, and then I [feel bad|call "
            "back late]."
        ),
        "[Whatever|No matter what] I say, it [leads back|returns] to [how I live|what I should have done].",
        "I sit in the [car|bus] [for ten minutes|a while] before I [can go in|ring the bell].",
    ),
    advice=(
        "suggest a walk instead of a talk at the table",
        "name one subject that stays off the table this month",
        "leave the room for ten minutes when voices go up, and come back",
    ),
)
KIDS = Problem(
    phrase="tension with the kids",
    problem_type="Issues with Children",
    scene="Parenting Challenges",
    who="worker",
    persons=("teenage son", "youngest daughter", "stepson", "eldest child"),
    heads=(
        *("the call from the school", "the hidden report card", "the screaming match over homework"),
        *("the refusal to eat together", "the fight over screen time", "the torn-up apology letter"),
    ),
    tails=(
        *("on a Monday morning", "right after a peaceful holiday", "in the first week of the term"),
        *("in the first month at a new school", "a few days before the party", "during the big move"),
    ),
    details=(
        "[Every|Each] evening [turns into|ends as] a negotiation, and [then a door slams|nobody wins].",
        (
            "I [hear myself shout|raise my voice], and I [never wanted|promised myself never] to be "
            "[that|such a] parent."
        ),
        (
            "We used to [read together|cook together|play cards], and now I get [one word|a shrug] [per "
            "day|at best]."
        ),
        (
            "I [stand|wait] outside the bedroom door and [cannot|can't] [think of|find] [the right "
            "question|anything to say]."
        ),
    ),
    advice=(
        "find ten minutes a day in which nothing is asked or corrected",
        "talk in the car, where nobody has to look at anybody",
        "agree on two house rules instead of ten",
    ),
)

RELATIONS = (BREAKUP, DISTANCE, FRIENDS, PARENTS, KIDS)
