"""What supporters say in the generic register: lines that fit anybody and name no fact of anyone.

Strategy names are ESConv's, spelled as annotated there.
"""

# Questions by what they lead to: a fact, more detail, or a feeling.
ASK = {
    "problem": (
        "What [brings you here|is on your mind] [today|right now]?",
        "What would you like to talk about?",
        "[Would you like to|Can you] tell me what [is going on|has been happening]?",
        "What is [weighing on you|bothering you] [most|at the moment]?",
    ),
    "emotion": (
        "How [does that make you feel|are you feeling about it]?",
        "What [feelings does|kind of feelings does] it [bring up|stir up]?",
        "How do you feel inside [right now|at the moment|when you think of it]?",
    ),
    "cause": (
        "[What|Do you know what] [started it|set it off]?",
        "Was there [a moment|something] that [started|triggered] it?",
        "How did [it|this] begin?",
        "What [do you think|would you say] is behind it?",
    ),
    "person": (
        "Is anyone else [involved|part of this]?",
        "How do the people around you [react|respond]?",
        "Is there somebody who [makes it harder|matters in this]?",
        "Who else [knows about it|is affected]?",
    ),
    "occupation": (
        "What does your [day|usual day] look like?",
        "[What do you do|What keeps you busy] during the [day|week]?",
        "May I ask what you do?",
    ),
    "trait": (
        "How would you describe yourself?",
        "How do you [usually|normally] [handle|deal with] hard times?",
        "What kind of person are you when things get rough?",
    ),
    "support": (
        "What would [help|be useful to] you most [right now|at this point]?",
        "What are you hoping [for|to get from our talk]?",
        "How can I [best|] [help|support you] [today|]?",
    ),
    "detail": (
        "[Can|Could] you tell me [a little|a bit] more [about it|about that]?",
        "What is that like [for you|from day to day]?",
        "How does it [show|affect you] in your daily life?",
        "What [happens on|fills] a typical day?",
    ),
    "feeling": (
        "How long have you [felt|been feeling] [this way|like this]?",
        "What is the hardest part [of it|for you]?",
        "How are you holding up?",
    ),
    "take_up": (
        "[Do you think|Could you imagine that] this would work for you?",
        "How does that sound?",
        "Would you be willing to try that?",
    ),
    "take_in": (
        "Does that make sense [to you|]?",
        "How is it for you to hear that?",
    ),
}

# Short words before a question.
ACKNOWLEDGE = (
    "[I see.|Okay.|Thank you for sharing that.|Thanks for telling me.|I am glad you told me.]",
    "[That is a lot.|That sounds tough.|Oh, that is hard.|I hear you.]",
    "",
)

GENERIC = {
    "Reflection of feelings": (
        "[That sounds|It sounds] [really|very|so] [hard|tough|painful].",
        "I can [hear|feel] [that|how much] this weighs on you.",
        "It [seems that|sounds like] [you are|you're] going through a [difficult|rough] time.",
        "You [seem|sound] [quite|really|very] [upset|worn down] [by all this|by it].",
        "I can [imagine|tell] that it [is not easy|takes a lot out of you].",
        "[These|Those] are [strong|heavy] feelings, and [they make sense|it is okay to have them].",
    ),
    "Restatement or Paraphrasing": (
        (
            "So [if I understand you correctly|if I got it right], [a lot has come together|things have "
            "become too much]."
        ),
        (
            "[In other words|So], [this has been on your mind for a while|you have been carrying this for "
            "some time]."
        ),
        (
            "[What I hear is|I understand] that things have been [difficult|rough] and that you [want a "
            "change|need some relief]."
        ),
        (
            "So [it has been building up|it has piled up], and now you [have reached|are at] a "
            "[limit|turning point]."
        ),
        "You are saying that [nothing|little] has [worked|helped] so far [and that it wears you down|].",
    ),
    "Affirmation and Reassurance": (
        "You are [stronger|more capable] than you [think|feel right now].",
        "You are [not alone|doing the right thing by talking about it].",
        (
            "[Please do not|Don't] be too hard on yourself. [You are doing your best.|Anyone would struggle "
            "with that.]"
        ),
        "It took courage to [say that|talk about this], and I [respect|admire] [that|you for it].",
        "I [believe|am sure] you [will|can] get through this, [one day at a time|step by step].",
        "[Things will|It will] get better [with time|sooner or later]. [Hang in there.|You can do it.]",
        (
            "[Your feelings are valid|What you feel is normal], and you [have every right to|may] take them "
            "seriously."
        ),
    ),
    "Providing Suggestions": (
        "[Maybe|Perhaps] you could [take a few slow breaths|go for a short walk|get some fresh air].",
        (
            "Have you [tried|thought about] [writing your thoughts down|keeping a journal|talking to a "
            "professional]?"
        ),
        (
            "It [might|may|can] help to [talk to someone you trust|do something you enjoy|take it one step "
            "at a time]."
        ),
        (
            "You could [make some time for yourself|try to get more rest|listen to some music], [if you "
            "like|and see how it goes]."
        ),
        (
            "[Try to|It is good to] [focus on what you can control|think of something positive|be patient "
            "with yourself]."
        ),
        (
            "I would [suggest|recommend] [exercise|a hobby|meditation], [because it clears the head|as it "
            "lifts the mood]."
        ),
        (
            "[Self-care|Rest] is [important|key]. [Try to eat well and drink enough water.|Plan something "
            "nice for the weekend.]"
        ),
    ),
    "Information": (
        "[Stress|Tension] can [affect|change] sleep, appetite and [mood|concentration].",
        (
            "[Many|A lot of] people [go through|experience] [something like this|times like these] at some "
            "point."
        ),
        "Researchers say that [talking|moving around|writing] [lowers stress|helps people to cope].",
        "[There are|You can find] [hotlines|counselors|support groups] for [situations|moments] like this.",
        "Feelings [usually|often] come in waves, and [the first weeks are the hardest|they do pass].",
        "[Recovery|Change] [takes time|is rarely a straight line], and [setbacks|bad days] are part of it.",
    ),
    "Self-disclosure": (
        (
            "I [have been|was once] in a [similar|difficult] [place|situation] [myself|too], and it [got "
            "better|passed]."
        ),
        "I [remember|know] [a time|days] when I [felt|was] like that[, and talking helped|].",
        (
            "When I [had|went through] a rough time, [a daily walk|a good friend|keeping busy] [helped "
            "me|got me through]."
        ),
        (
            "I [also|sometimes] [struggle|have trouble] with [things like that|hard days], [so I "
            "understand|to be honest]."
        ),
        (
            "Something like that happened to me [a few years ago|once], and I [learned a lot from it|came "
            "out of it]."
        ),
    ),
    "Others": (
        "I am [here for you|listening]. [Take your time.|Please go on.]",
        "[I understand.|I see.|Right.] [Please go on.|Tell me more if you like.|]",
        "Thank you for [trusting me with this|being so open|sharing this with me].",
        "[Of course.|Sure.] I am [glad|happy] to [listen|talk].",
    ),
}

GREETING = (
    (
        "[Hi|Hello|Hey]! [I am glad you are here.|Welcome.|Of course, I am happy to listen.|Sure, take "
        "your time.]"
    ),
    "[Hello|Hi] there, [nice to meet you|good to have you here].",
    "[Hi|Hello], how are you [today|doing today|this evening]?",
)

FAREWELL = (
    "You are [very|] welcome. [Take care of yourself!|I wish you all the best.|Come back any time.]",
    "[I am glad|It was good] that we talked. [Have a good [day|evening]!|All the best!]",
    "[Any time.|My pleasure.] [Good luck|Be kind to yourself], and [take care|see you].",
    "[Goodbye|Bye], and [do not give up|be gentle with yourself]. [You can always come back.|]",
)
