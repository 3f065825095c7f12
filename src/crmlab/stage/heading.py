"""What a stage is, in the words its page and its notebook open with."""

from crmlab.contract import Sentence, say
from crmlab.contract.result import FEWEST
from crmlab.stage.context import cut_of
from crmlab.study import StudyFile


def header(file: StudyFile, cycle_name: str, stage: str) -> dict[str, str]:
    """What a stage is: study, cycle, the days it may see, mode, consent and design, in the language in use."""
    study, cycle = file.study, file.study.cycle_named(cycle_name)
    modes = {
        "replay": say("replay: history, whose contacts were not ours; nothing can be exported"),
        "live": say("live: lists are exported and sent"),
    }
    consents = {
        "assumed": say("assumed (replay only): no consent was recorded"),
        "recorded": say("as recorded; unknown is no consent"),
    }
    designs = {
        True: say("randomised: contact was left to chance"),
        False: say("observational: customers were not contacted at random; descriptive"),
    }
    return {
        say("study"): study.title or study.study,
        say("cycle"): cycle.cycle,
        say("sees data through"): str(cut_of(cycle, stage)),
        say("outcome window"): say("{days} days, to {end}", days=cycle.window_days, end=cycle.window_end),
        say("mode"): modes[study.mode],
        say("consent"): consents[study.consent],
        say("design"): designs[study.randomised],
        say("currency"): study.currency,
        say("seed"): str(study.seed),
    }


def unplaced(n: int, *, of: int) -> Sentence:
    """How many of the contacts so far are left out because their customer had no segment at the time."""
    if not of:
        return Sentence("Nobody has been contacted yet, or no outcome window has closed.")
    if not n:
        return Sentence("Everybody contacted so far was in the base at the time.")
    if n < FEWEST:
        return Sentence("Fewer than five contacts are left out: their customers were not in the base at the time.")
    return Sentence(
        "{n:,} of {of:,} contacts so far are left out: they were sent before the data begin, or to customers not "
        "in the base at the time.",
        {"n": n, "of": of},
    )
