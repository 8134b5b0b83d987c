"""Problems that seekers have with themselves: sleep, putting off, looks, low spells."""

from stages.world.problem import Problem

SLEEP = Problem(
    phrase="sleepless nights",
    problem_type="Sleep Problems",
    scene="Sleep Problems",
    who="any",
    persons=("upstairs neighbor", "housemate", "family doctor", "older brother"),
    heads=(
        *(
            "the noise from the building site",
            "the switch to an early schedule",
            "the late-night phone habit",
        ),
        *("the new apartment next to the station", "the long wait for a medical test", "the broken heating"),
    ),
    tails=(
        *("since the start of the month", "on top of a crowded week", "in an already busy season"),
        *("right after a long illness", "without any end in sight", "since the clocks changed"),
    ),
    details=(
        "I [lie|stay] awake until [three|four] and [stare at|watch] the [ceiling|clock].",
        (
            "By [noon|the afternoon] my head [feels like cotton|is foggy] and I [make silly mistakes|lose "
            "the thread]."
        ),
        "[The moment|As soon as] the light is off, [my thoughts|all the thoughts] [start racing|line up].",
        (
            "I [tried|have tried] [warm milk|tea|counting], and I [still|just] [turn over|listen to the "
            "street] [for hours|all night]."
        ),
    ),
    advice=(
        "leave the phone in the kitchen from ten o'clock on",
        "get up at the same hour for a week, however the night was",
        "keep a notebook by the bed and park the thoughts there",
    ),
    unfitting=("heartbroken", "disgusted", "humiliated"),
)
PUTTING_OFF = Problem(
    phrase="a bad habit of putting things off",
    problem_type="Procrastination",
    scene="Procrastination",
    who="any",
    persons=("project partner", "landlord", "older sister", "sports coach"),
    heads=(
        *("the unopened tax letter", "the half-finished application", "the overdue report"),
        *("the pile of unpaid bills", "the ignored email from the bank", "the unsigned contract"),
    ),
    tails=(
        *("from last autumn", "with a deadline on Friday", "that gets more urgent every week"),
        *("that nobody else knows about", "in spite of three reminders", "after another wasted weekend"),
    ),
    details=(
        "I [clean|tidy] the [kitchen|whole apartment] [just|only] to [avoid|not look at] my desk.",
        "I tell myself [tomorrow|after lunch], and then it is [midnight|next week] [again|already].",
        "[The longer|The more] I wait, the [bigger|worse] it [looks|gets], and I [know|see] that.",
        (
            "I tell [people|everyone] that it is [almost done|nearly finished], and I have not even "
            "[begun|started]."
        ),
    ),
    advice=(
        "set a timer for five minutes and only open the envelope",
        "tell one person what will be done by tonight",
        "do it first thing in the morning, before the phone is on",
    ),
    unfitting=("heartbroken", "lonely"),
)
LOOKS = Problem(
    phrase="the dread of being seen in photos",
    problem_type="Appearance Anxiety",
    scene="Body Image",
    who="any",
    persons=("cousin", "aunt", "gym buddy", "sister-in-law"),
    heads=(
        *("the remark about a tired face", "the awful haircut", "the sudden skin rash"),
        *("the strict dress code", "the unflattering picture", "the thoughtless joke"),
    ),
    tails=(
        *("at the family party", "a week before a big wedding", "in the middle of the summer season"),
        *(
            "just before the class reunion",
            "on the first day in a new place",
            "after a long time without going out",
        ),
    ),
    details=(
        "I [stand|always stand] [behind|at the back of] the group when [someone|anybody] takes out a camera.",
        "I [change|try on] [four|five] outfits and then [stay in|cancel].",
        "I [covered|turned around] the [big mirror|mirror] in the [hall|bathroom] [last week|a while ago].",
        (
            "When [people|others] [say something nice|pay me a compliment], I [think they are just "
            "polite|cannot believe it]."
        ),
    ),
    advice=(
        "choose one outfit for comfort alone and wear it out of the house",
        "unfollow the accounts that leave a bad taste",
        "look at what your body did for you this week instead of how it looked",
    ),
    unfitting=("heartbroken", "lonely"),
)
LOW_SPELL = Problem(
    phrase="a long low spell",
    problem_type="ongoing depression",
    scene="Low Mood",
    who="any",
    persons=("twin sister", "old mentor", "uncle", "bandmate"),
    heads=(
        *("the move to a strange city", "the end of the weekly choir", "the serious knee injury"),
        *("the failed side business", "the loss of the family dog", "the farewell of a close group"),
    ),
    tails=(
        *("in the dark months", "followed by a quiet winter", "during a rainy autumn"),
        *("at the end of a hard year", "just when life felt steady", "with nobody close by"),
    ),
    details=(
        "[Most|Some] mornings it takes me an hour to [get out of bed|put on my shoes].",
        (
            "[Food|Everything] [tastes|seems] [like nothing|flat], and [music|television] [is just "
            "noise|does not help]."
        ),
        "I [say no to|turn down] every invitation, and [by now|lately] [few|fewer and fewer] people ask.",
        (
            "The [dishes|letters] [pile up|wait], and I [walk past|look away] [as if they were not "
            "mine|every time]."
        ),
    ),
    advice=(
        "go outside for ten minutes before noon, whatever the weather",
        "bring back one tiny habit from the better days",
        "make an appointment with a counselor and write the date on the wall",
    ),
    unfitting=("disgusted", "humiliated", "furious"),
)

SELF = (SLEEP, PUTTING_OFF, LOOKS, LOW_SPELL)
