"""What seekers say, as paraphrase templates (see `grammar`).

A fact is never the first word of a sentence, so that it stands in the text exactly as in the profile.
`[` choices are written so that every way through is right for every phrase of the vocabulary.
"""

GREETING = (
    "[Hi|Hello|Hey]. [Is it okay if I talk about something?|Can I [talk|speak] to you for a [while|moment]?]",
    (
        "[Hello|Hi|Good evening|Good morning]. [I hope|I guess] this is the right place to [talk|let "
        "things out]."
    ),
    "[Hey|Hi|Hello] there. I [am|have been] [not sure where to start|unsure how to begin].",
    "[Hi|Hello], thanks for [taking the time|being here]. [Today was a lot.|It has been a long week.|]",
    "[Good afternoon|Hello|Hi]. I could use [someone to talk to|a bit of company] [today|right now|tonight].",
    (
        "[Hey|Hi], [do you have|have you got] a [minute|few minutes]? I [need|would like] to [talk|get "
        "something out]."
    ),
)

GREETING_WITH_NAME = (
    "[Hi|Hello|Hey], [my name is|I am|I'm] {name}. [Can we talk [for a bit|a little]?|Do you have a moment?]",
    "[Hello|Hi|Good evening], {name} here. I [could use|need] [a talk|somebody to talk to] [today|tonight|].",
    "[Hey|Hi|Hello], I'm {name}. I [am not sure|do not quite know] [where|how] to [start|begin].",
    (
        "[Hi|Hello] there, [you can call me|people call me] {name}. [It has been a rough few days.|I "
        "hope this helps.]"
    ),
)

# One fact a turn, or two; where a turn has two, one line of each follows the other.
REVEAL = {
    "problem": (
        "[Lately|For a while now] I have been [dealing|struggling] with {problem}.",
        "[It is about|It's about] {problem}, [and I do not know where to turn|and it fills my head all day].",
        "[I keep coming back|Everything keeps coming back] to {problem} [these days|lately|at the moment].",
        "The short version is that I am [facing|going through] {problem}.",
        "[Honestly|To be honest], I came here because of {problem}.",
        "[For weeks now|For some weeks], I have been [living|trying to cope] with {problem}.",
        (
            "I [never thought|did not think] {problem} would [get to me|take up so much space] [like "
            "this|this way]."
        ),
    ),
    "emotion": (
        "I feel [so|really|mostly|just|very] {emotion} [about it|because of it|most of the time].",
        (
            "[It leaves me feeling|It makes me feel] {emotion}, [even when I try to be strong|and I cannot "
            "shake it off]."
        ),
        "I [wake up|go to bed] feeling {emotion} [every day|nearly every day|more often than not].",
        "If I had to [pick|choose] one word, I would say I am {emotion}.",
        "Most of all I [am|feel] {emotion}, and that is [hard to admit|new for me].",
        "[I did not expect|I never expected] to feel this {emotion} [over|about] it.",
        "[Somehow|Right now] I am [too|simply too] {emotion} to [think clearly|see a way out].",
    ),
    "cause": (
        "[It all|It|Everything] started with {cause}.",
        "What [set it off|started all this|tipped me over] was {cause}.",
        "The [main|real] reason [is|was] {cause}, [if I am honest|I think|I suppose].",
        "In my [head|mind|thoughts] I [keep|am always] going back to {cause}.",
        (
            "[Then came|And then came] {cause}, and [I have not been the same since|things fell apart from "
            "there]."
        ),
        "I [cannot|can't] [stop thinking about|get past] {cause}.",
        "It [would not|might not] be so bad if it were not for {cause}.",
        (
            "Because of {cause}, [nothing feels easy|I have been off balance|I am not myself] [these "
            "days|lately]."
        ),
    ),
    "person": (
        "I [do not|don't] know how to [talk to|face] my {person} [about it|now|after all this].",
        "My {person} [acts|behaves] as if nothing [happened|were wrong], and that [stings|hurts].",
        "[Even|By now even] my {person} has [noticed|seen] that something is [wrong|off].",
        "I have [hardly|barely] spoken to my {person} [since then|in days|this month].",
        (
            "My {person} [tells me|just says] to [get over it|pull myself together], which [does not "
            "help|makes it worse]."
        ),
        "It [also|clearly] [touches|affects] my {person}, and I [feel|am] [caught in the middle|torn].",
        (
            "Every [talk|conversation] with my {person} [ends in silence|goes in circles|goes wrong] "
            "[now|lately]."
        ),
        "I [often wonder|always wonder|keep wondering] what my {person} [thinks of me|will say].",
    ),
    "occupation": (
        (
            "[By the way, |Maybe I should add that |]I am {a occupation}, [so my days are full|so I am busy "
            "as it is]."
        ),
        "I am {a occupation}, and [people expect me to function|I have to look fine all day].",
        "[As|Being] {a occupation}, I [cannot|can't] [just|simply] [hide|disappear] for a [week|while].",
        "[You should know that I am|Perhaps it matters that I am] {a occupation}.",
        "I spend my days as {a occupation}, and [there is little time to rest|it takes all my energy].",
        "You may not [guess it|think so] right now, but I am {a occupation}[, and a good one|].",
        "I get up early as {a occupation}, [rain or shine|no matter how the night was].",
        "[In my life as|In my routine as] {a occupation} there is [no room|hardly any room] for this.",
    ),
    "trait": (
        (
            "I have always been {trait}, [and it does not help here|so this hits me twice|which makes it "
            "harder]."
        ),
        "[People say|Others tell me|Everyone says] I am {trait}, and [they are right|I guess it is true].",
        "It [may|might] be because I am {trait}.",
        "[You have to know that I am|The thing is, I am|I should say that I am] {trait}.",
        "[Being|I know that being] {trait} [makes nothing easier|does not make this simpler] for me.",
        "I am {trait}, so I [usually|normally] [keep going and say nothing|carry this kind of thing alone].",
    ),
    "support": (
        "[I think|Right now] what I [need|want|am looking for] [most|] is {support}.",
        "I [was hoping|am hoping|came here] for {support}.",
        "[Could you give me|Is there any chance of] {support}? [That would mean a lot.|That is all I ask.]",
        "I [could really use|would be glad about|would love] {support}.",
        "[More than anything|Above all], I [need|wish for|would like] {support}.",
        "If I [may|could] ask for one thing [today|now|], it would be {support}.",
        "It [would help me|would do me good] to [get|have] {support}.",
    ),
}

# More about how it feels, without a new fact.
FEELING = (
    "Some days are [better|lighter] than others, but it [always|soon] comes back.",
    "I [try|do my best] to [hide it|smile], [but|and] it [costs|takes] a lot of [strength|energy].",
    "I [have not|haven't] [told|shown] [anyone|anybody] else how bad it is.",
    "I [do not|don't] [recognize|know] myself [anymore|these days|in this].",
    "It [feels|is] like [carrying a stone around|walking through deep snow|being stuck in mud].",
    ("[Sometimes|Now and then] I wonder [whether|if] I am [making too much of it|the only one like this]."),
    "I [keep asking|ask] myself what I could have done [differently|better].",
    "My [appetite|patience|energy] is [gone|nearly gone], and I [snap at|avoid] people who mean well.",
    (
        "I [cried|was close to tears] [this morning|yesterday|on the way home], [out of nowhere|for no "
        "clear reason]."
    ),
    (
        "[Part of me|Half of me] wants to [run away|shout], and [the other part|the other half] just "
        "wants to sleep."
    ),
)

# After a suggestion.
TAKE_UP = (
    (
        "[That sounds|That seems] [doable|possible], [even for me|even on a bad day]. I [will|could] try "
        "[it|that] [tomorrow|this week]."
    ),
    "[I had not|I hadn't] thought of [that|it that way]. It [might|could] [work|help].",
    (
        "[Hmm, maybe.|Maybe.] I [tried|have tried] something [similar|like that] before, but [never for "
        "long|only once]."
    ),
    (
        "[Okay|All right], I [can|could] [start|begin] with that [tonight|today] and see [how it "
        "goes|what changes]."
    ),
    (
        "I am [not sure|a bit unsure] [whether|if] I have the [strength|courage] for that, but I "
        "[will|can] [give it a try|try]."
    ),
    "[Good|Nice] idea. [I will write it down.|I will put it on my list.|I would not have come up with it.]",
    (
        "That [is|sounds] [simple|small] enough [to begin with|for a start]. [What if it does not "
        "work?|Thank you.|]"
    ),
    (
        "[Yes|Right], [that makes sense|I can picture that]. I [tend to|often] [forget|skip] the "
        "[simple|easy] things."
    ),
)

# After comfort, information or the supporter's own story.
TAKE_IN = (
    "[That helps|It helps] to hear. I [thought|was sure] I was [the only one|alone with it].",
    (
        "[Thank you for saying that|Thanks for saying so]. I [really needed|needed] [that today|that]. "
        "[It is a start.|]"
    ),
    "I [never|had not] looked at it [that way|from that side]. [Maybe you are right.|You may have a point.]",
    "[It is|It's] [good|nice] that [you take it seriously|someone understands].",
    "[I suppose so.|I guess so.] It [just|] [feels|is] [different|harder] [at night|when I am by myself].",
    "[That is|That's] kind of you. I [will|want to] [keep that in mind|remember that].",
    (
        "[Really? I would not have guessed.|I did not know that.] [That takes some weight off.|That "
        "calms me a little.]"
    ),
)

THANKS = (
    (
        "[Thank you|Thanks] [so much|a lot|very much]. I [feel|am] a [little|bit] [lighter|calmer] "
        "[now|than before]."
    ),
    "[I should|I have to|I need to] go now, but [this was good|this helped]. [Thank you!|Thanks a lot!]",
    (
        "[Thanks|Thank you] for [listening|your time|being so patient]. I [will|am going to] [try|do] "
        "what we [talked about|said]."
    ),
    (
        "[This|Our talk] [gave me|has given me] [something to hold on to|a bit of hope]. [Thank "
        "you.|Many thanks.]"
    ),
    (
        "I [did not expect|never expected] to feel better so [soon|quickly]. [Thank you [so "
        "much|again].|Thanks.]"
    ),
    "[You have been|You were] a [great|real|big] help. [Thank you|Thanks], and [good night|take care].",
)

GOODBYE = (
    "[Bye|Goodbye]! [Have a [good|nice] day.|Take care.|]",
    "[Take care|All the best], [and thanks again|bye].",
    "[See you|Bye for now]. [Thanks again!|]",
)

# The line at the top of an ESConv session, written by the seeker beforehand.
SITUATION = (
    "I am [dealing|struggling] with {problem} because of {cause}, and I feel {emotion}.",
    "I feel {emotion} because of {problem}. [It started with|The reason is] {cause}.",
    (
        "I have to [deal|live] with {problem}. What [started it|set it off] was {cause}, and [now|since "
        "then] I feel {emotion}."
    ),
)
