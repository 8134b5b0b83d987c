"""What supporters say in the personal register: every line takes up at least one fact of the seeker.

The wrong register says the same lines with the facts of somebody else. `{advice}` is what fits the
problem and `{offer}` what fits the support wanted; they are no facts themselves.
"""

# Before a question (Question), so that it shows what was heard.
LEADS = (
    "You [mentioned|spoke of|brought up] {cause}.",
    "So [what brings you here is|this is all about] {problem}.",
    "[So|I hear that] you feel {emotion} because of {cause}.",
    "[I hear|It is clear] how {emotion} you feel [these days|right now].",
    "You said [that|] your {person} plays a part in this.",
    "[Let us|I would like to] come back to your {person} for a moment.",
    "So you are {a occupation}, [which must fill your days|and your days are full].",
    "You described yourself [just now|earlier|] as {trait}.",
    "You [are hoping for|came here for|want] {support}, [and that is fair|and I will keep it in mind].",
    "[Living with|Facing] {problem} as {a occupation} [is a lot|cannot be easy].",
)

PERSONAL = {
    "Reflection of feelings": (
        "It sounds as if {cause} [has left you|left you] [very|really|] {emotion}.",
        "You feel {emotion}, and [no wonder|that is no surprise], given {cause}.",
        "I can hear how {emotion} you feel because of {problem}.",
        "It must be hard to face your {person} [while you feel|when you are] {emotion}.",
        (
            "[Feeling|Being] {emotion} [all day|day after day] as {a occupation} must [wear you out|take so "
            "much out of you]."
        ),
        "For someone who is {trait}, {problem} must feel [twice as heavy|like a wall].",
        (
            "[Behind it all you seem|You sound] {emotion}, and [I take that seriously|that is an honest "
            "thing to say]."
        ),
        "It [hurts|clearly hurts] that your {person} [is caught up in this|does not see how you feel].",
        "I [sense|imagine] that {cause} still [stings|hurts] [every day|a lot].",
    ),
    "Restatement or Paraphrasing": (
        "So [it began with|the starting point was] {cause}, and now you are [living|left] with {problem}.",
        "[In other words|If I understand you], you feel {emotion} because of {problem}.",
        "You are {a occupation}, and on top of that you [have to face|live with] {problem}.",
        "So {cause} is what you keep [coming back to|thinking about].",
        "What I hear is that you are {trait}, and {cause} hits [exactly that spot|you right there].",
        "[As I understand it|So], your {person} is part of it, and so is {cause}.",
        "[If I got it right|So], what you [want|are after] is {support}, because of {problem}.",
        "You are {trait}, [you say|as you put it], so it is [hard|not easy] to [speak about|bear] {problem}.",
        "So you have {problem} on one side and your {person} on the other.",
    ),
    "Affirmation and Reassurance": (
        "Given {cause}, [anyone|almost everyone] would feel {emotion}.",
        "You are {trait}, and [that is not a flaw|there is strength in that], even with {problem}.",
        (
            "You [keep going|show up] as {a occupation} in spite of {problem}, and that takes "
            "[courage|strength]."
        ),
        (
            "You do not have to be [perfect|at your best] as {a occupation} [while you feel|when you are] "
            "{emotion}."
        ),
        "[Talking|Opening up] about {cause} took courage, and you did it.",
        "It shows how much you care that you [still think of|worry about] your {person}.",
        (
            "[Wanting|Asking for] {support} is [a good sign|nothing to be shy about], and you [deserve|can "
            "have] it."
        ),
        (
            "Feeling {emotion} does not [make you weak|mean that you failed]. [It shows that it matters to "
            "you.|]"
        ),
        "[It was not your fault|You are not to blame], and {cause} does not [define you|say who you are].",
    ),
    "Providing Suggestions": (
        "[For|With] {problem}, [one thing that can help is this|here is one idea]: {advice}.",
        "You asked for {support}, so [perhaps|maybe] you could {offer}.",
        "Since you want {support}, [one idea is to|you might] {offer}.",
        "As {a occupation} you [have|may have] little time, so if you want {support}, [just|simply] {offer}.",
        (
            "With your {person}, you could [try a new start|choose another moment], and as for {problem}, "
            "{advice}."
        ),
        "As you are {trait}, [keep it small|start small]: {advice}.",
        (
            "[When you feel|Whenever you are] {emotion}, [it may help to|try to] {advice}, because {problem} "
            "can grow in silence."
        ),
        "You could tell your {person} [in one sentence|calmly] what {cause} [did to you|means to you].",
        "[Could you|Would you] let your {person} know that you feel {emotion}? [One sentence is enough.|]",
        (
            "[Maybe|Perhaps] you could [put {cause} on paper|write down what {cause} meant to you] and then "
            "{offer}."
        ),
    ),
    "Information": (
        (
            "[Many|A lot of] people with {problem} feel {emotion} [for a while|at first], and it [fades|gets "
            "weaker]."
        ),
        (
            "People who are {trait} [often|tend to] [notice things early|take such things to heart], so they "
            "feel {problem} [sooner|more] than others."
        ),
        "[It is common|It is quite usual] to feel {emotion} after something like {cause}.",
        "[In the life of|For] {a occupation}, {problem} can be [more common than it seems|a common thing].",
        "[Often|In many cases] somebody like your {person} does not [see|know] that you feel {emotion}.",
        (
            "[Something like|A thing like] {cause} can [affect|upset] sleep and appetite [for weeks|for a "
            "while]."
        ),
        "For {support}, [a counselor|a support group] can be [a good choice|worth a try] too.",
    ),
    "Self-disclosure": (
        "I [know|remember] {problem} from my own life, and I [felt|was] {emotion} [too|as well].",
        "I am {trait} too, so I [can guess|have an idea] what {problem} can [do to you|feel like].",
        "[Once|Years ago] I [felt|was] {emotion} over something like {cause}, and it [got better|passed].",
        "I have {a occupation} in [my family|the family], so I [can picture|know a little of] your days.",
        "When I went through {problem}, I also [wanted|longed for] {support}.",
        (
            "I had [my own trouble|a hard time] with somebody like your {person}, and [time helped|a calm "
            "talk helped]."
        ),
    ),
    "Others": (
        "I am [still here|listening], and I have not forgotten {cause}.",
        "Thank you for telling me about your {person}. [Take your time.|Please go on.]",
        "[I see.|I understand.] So that is how {problem} [came about|came into your life].",
        (
            "[Take all the time you need.|No rush.] We can [stay with|talk about] {cause} [as long as you "
            "like|for as long as it helps]."
        ),
        "[Good to know|Thank you for telling me] that you are {a occupation}.",
        "[I see.|Right.] So you are {trait}. [Please go on.|]",
        "[All right.|Okay.] You want {support}, and I will [keep that in mind|not forget it].",
    ),
}

FAREWELL = (
    "[You are very welcome.|Any time.] I hope you [will soon|] find [a way through|relief from] {problem}.",
    "[I am glad we talked.|It was good to talk.] I hope you will feel less {emotion} [soon|before long].",
    "[Take care|All the best], and I hope {cause} will [hurt less|matter less] with time.",
    "[You are welcome.|My pleasure.] [Good luck|All the best] with your {person}!",
    "[Take care.|Be kind to yourself.] You [came for|asked for] {support}, and you can come back for more.",
)
