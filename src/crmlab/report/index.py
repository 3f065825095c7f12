"""The index of a study's stages and the index of studies, in the design of the pages."""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from crmlab.contract import language, mark, say
from crmlab.report.page import fact_text
from crmlab.report.template import render, speaking

STAGES = {
    "1_analysis": mark("Analysis"),
    "2_activation": mark("Activation"),
    "3_reanalysis": mark("Re-analysis"),
}
TOPICS = {
    "topic_lifetime_value": mark("Lifetime value"),
    "topic_segmentations": mark("Segmentations compared"),
    "topic_segment_cards": mark("Segment cards"),
    "topic_subscriptions": mark("Subscriptions"),
}
STATES = {
    "published": mark("published"),
    "failed": mark("failed"),
    "refused": mark("refused"),
    "due": mark("due"),
    "waiting": mark("waiting"),
    "not yet due": mark("not yet due"),
}
_SIGNS = {"published": "✓", "failed": "✕", "refused": "✕", "due": "●", "waiting": "○", "not yet due": "○"}
_OPEN = ("due", "waiting", "not yet due")


class Figure(TypedDict):
    """One main figure of a stage: what it is and how it reads, in the page's language, uncertainty included."""

    label: str
    text: str


class Stage(TypedDict):
    """One stage of one cycle as the index shows it: ``href`` from the index, texts in the page's language."""

    cycle: str
    stage: str
    state: str
    href: NotRequired[str | None]
    as_of: NotRequired[Any]
    due_on: NotRequired[Any]
    message: NotRequired[str | None]
    figures: NotRequired[list[Figure]]
    changes: NotRequired[list[str]]
    revision: NotRequired[int | None]


class Study(TypedDict):
    """One study: ``header`` is label → text for the band, ``notice`` stands out under it, ``index`` leads up."""

    study: str
    title: NotRequired[str]
    lang: NotRequired[str]
    href: NotRequired[str]
    index: NotRequired[str]
    header: NotRequired[Mapping[str, Any]]
    notice: NotRequired[str]
    stages: NotRequired[list[Stage]]


def study_index(study: Study, stages: Sequence[Stage]) -> str:
    """The page of one study: cycles by stages, then each cycle's main figures and what changed with it.

    Parameters
    ----------
    study
        Its names, language, and what the band states.
    stages
        In the order in which cycles and stages are to be read; several revisions of one stage stand in one cell, in
        order.
    """
    with speaking(study.get("lang", language())):
        names = sorted({s["stage"] for s in stages} | set(STAGES))
        cycles = [(c, [s for s in stages if s["cycle"] == c]) for c in dict.fromkeys(s["cycle"] for s in stages)]
        return render(
            "study.html",
            title=study.get("title") or study["study"],
            index=study.get("index"),
            facts=[(label, fact_text(value)) for label, value in study.get("header", {}).items()],
            notice=study.get("notice"),
            names=[stage_name(name) for name in names],
            rows=[(c, [[_cell(s) for s in those if s["stage"] == n] for n in names]) for c, those in cycles],
            turns=[turn for c, those in cycles if (turn := _turn(c, those))],
        )


def reports_index(studies: Sequence[Study]) -> str:
    """The page of all studies, in the language in use: how far each has come, and when it is next due.

    A study's ``stages`` are those of its own index; ``href`` leads there from this page.
    """
    return render("studies.html", studies=[_card(study) for study in studies])


def stage_name(stage: str) -> str:
    """``1_analysis`` → *Analysis*, in the language in use; a stage of another name is called by it."""
    known = STAGES | TOPICS
    return say(known[stage]) if stage in known else stage


def _turn(cycle: str, stages: Sequence[Stage]) -> dict[str, Any] | None:
    """What a cycle found and changed; None where it has nothing to tell yet."""
    figures = [f for s in stages for f in s.get("figures") or []]
    changes = [text for s in stages for text in s.get("changes") or []]
    return {"cycle": cycle, "figures": figures, "changes": changes} if figures or changes else None


def _cell(stage: Stage) -> dict[str, Any]:
    state, published = stage["state"], stage["state"] == "published"
    return {
        "state": say(STATES[state]),
        "kind": _kind(state),
        "sign": _SIGNS[state],
        "href": stage.get("href"),
        "name": stage_name(stage["stage"]),
        "revision": stage.get("revision") if (stage.get("revision") or 1) > 1 else None,
        "as_of": stage.get("as_of") if published else None,
        "due_on": stage.get("due_on") if state in _OPEN else None,
        "message": None if published else stage.get("message"),
    }


def _kind(state: str) -> str:
    return "waiting" if state == "not yet due" else state


def _card(study: Study) -> dict[str, Any]:
    stages = study.get("stages", [])
    latest = next((s for s in reversed(stages) if s["state"] == "published"), None)
    waiting = [str(s["due_on"]) for s in stages if s["state"] in _OPEN and s.get("due_on")]
    counts = {state: sum(s["state"] == state for s in stages) for state in STATES}
    return {
        "title": study.get("title") or study["study"],
        "href": study.get("href"),
        "counts": [
            {"n": n, "state": say(STATES[s]), "kind": _kind(s), "sign": _SIGNS[s]} for s, n in counts.items() if n
        ],
        "latest": f"{latest['cycle']} · {stage_name(latest['stage'])}" if latest else None,
        "next_due": min(waiting) if waiting else None,
    }
