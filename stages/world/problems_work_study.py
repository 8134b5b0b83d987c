"""Problems of seekers at work and of students."""

from stages.world.problem import Problem

AT_WORK = Problem(
    phrase="trouble at work",
    problem_type="job crisis",
    scene="Work-related Stress",
    who="worker",
    persons=("supervisor", "new boss", "deputy manager", "oldest colleague"),
    heads=(
        *("the missed promotion", "the poor performance review", "the formal warning"),
        *("the sudden cut in hours", "the transfer to another team", "the accusation of carelessness"),
    ),
    tails=(
        *("after the merger", "right before the holidays", "under the new management"),
        *("in spite of years of overtime", "during the busiest month", "a week after the staff party"),
    ),
    details=(
        (
            "[Every|Each] Sunday evening my stomach [tightens|turns] because [the week starts again|Monday "
            "is coming]."
        ),
        (
            "I [check|read] my messages at [midnight|five in the morning], [just in case|afraid of missing "
            "something]."
        ),
        "In meetings I [hardly|barely] [speak|open my mouth] [anymore|these days].",
        "I [used to like|once liked] [going in|what I do], and now I [count the hours|watch the clock].",
    ),
    advice=(
        "write down what was said and when, so that nothing gets lost",
        "ask for a short meeting and bring two clear questions",
        "update your resume, if only to see how much you can do",
    ),
    unfitting=("heartbroken",),
)
EXHAUSTION = Problem(
    phrase="complete exhaustion from the job",
    problem_type="job crisis",
    scene="Burnout",
    who="worker",
    persons=("team leader", "day-shift partner", "scheduling manager", "youngest coworker"),
    heads=(
        *("the double workload", "the string of early shifts", "the endless overtime"),
        *("the unpaid extra duty", "the constant phone duty", "the never-ending paperwork"),
    ),
    tails=(
        *("with no replacement in sight", "during the peak season", "while half the team was sick"),
        *(
            "since the last reorganization",
            "without a single free weekend",
            "on top of training two newcomers",
        ),
    ),
    details=(
        "I come home, [sit on the floor|drop my bag] and [cannot|can't] even [cook|talk].",
        (
            "[Even on days off|On my free days] I [sleep until noon|just lie on the couch] and [still feel "
            "tired|wake up tired]."
        ),
        "I [forget|mix up] [simple things|names and dates], which [never happened before|is not like me].",
        (
            "My [hands shake|head aches] by [lunchtime|the middle of the day], and I [just keep going|push "
            "on anyway]."
        ),
    ),
    advice=(
        "name one duty that could wait and say so in writing",
        "take the full lunch break away from the desk, every day",
        "see a doctor about the tiredness before it grows",
    ),
    unfitting=("heartbroken", "humiliated"),
)
EXAMS = Problem(
    phrase="exam pressure",
    problem_type="academic pressure",
    scene="Academic Stress",
    who="student",
    persons=("study partner", "statistics tutor", "lab partner", "department head"),
    heads=(
        *("the failed midterm", "the lost scholarship", "the low grade in statistics"),
        *("the rejected essay", "the disappointing oral exam", "the bad mock exam"),
    ),
    tails=(
        *("after weeks of studying", "right before the finals", "in the hardest semester so far"),
        *(
            "in spite of the private lessons",
            "on top of a part-time job",
            "in the same week as the family visit",
        ),
    ),
    details=(
        "I read the same page [four|five|six] times and [nothing stays|keep nothing].",
        "[Everyone else|The whole class] [seems|appears] to [understand|get] it [at once|without effort].",
        (
            "I [study|sit in the library] until [it closes|late] and [dream of formulas|wake up before the "
            "alarm]."
        ),
        (
            "My parents [ask about|bring up] my grades [every week|at every call], and I [change the "
            "subject|say it is fine]."
        ),
    ),
    advice=(
        "study in blocks of twenty-five minutes with a real pause in between",
        "work through one old paper and look only at the first mistake",
        "go to the office hour with a single question",
    ),
    unfitting=("heartbroken", "disgusted"),
)
THESIS = Problem(
    phrase="a thesis that does not move forward",
    problem_type="academic pressure",
    scene="Academic Stress",
    who="student",
    persons=("thesis adviser", "second reader", "office mate", "writing coach"),
    heads=(
        *("the harsh feedback on chapter two", "the crashed hard drive", "the rejected outline"),
        *("the broken experiment", "the missing data set", "the forced change of topic"),
    ),
    tails=(
        *("after a year of preparation", "a month before the deadline", "just when things looked good"),
        *("at the end of the funding", "right after the summer break", "in the week of the first draft"),
    ),
    details=(
        "I open the file, [change a comma|move one sentence] and [close it again|give up].",
        (
            "[Others|People] from my year [have finished|are done], and I still [have no second "
            "chapter|rewrite page one]."
        ),
        "When [anyone|somebody] asks how it is going, I [laugh|smile] and [talk about the weather|lie].",
        "My desk is [covered with|full of] notes that [make no sense|mean nothing] to me [now|anymore].",
    ),
    advice=(
        "write two hundred bad words a day and repair them later",
        "send one page for comments instead of a whole chapter",
        "start in the middle, with the part you could explain to a child",
    ),
    unfitting=("heartbroken", "disgusted"),
)

WORK_AND_STUDY = (AT_WORK, EXHAUSTION, EXAMS, THESIS)
