"""Traits of surveys: one an item, the mean score that a customer gave it when last asked."""

from collections.abc import Callable, Mapping

import ibis

from crmlab.base.orders import MONEY
from crmlab.base.register import Data, Trait, relation
from crmlab.contract import mark

MOST_ITEMS = 40
"""Items beyond these are no traits: of a longer questionnaire those that most people answered."""


@relation("survey", source="survey")
def _(data: Data) -> ibis.Table | None:
    """Each customer's scores of each item, of the last day on which they answered it."""
    survey = data.tables.get("survey")
    if survey is None:
        return None
    rows = survey.filter(survey.score.notnull()).select("customer_id", "item", "date", "score")
    last = rows.mutate(last=rows.date.max().over(group_by=["customer_id", "item"]))
    return last.filter(last.date == last.last)


def items(tables: Mapping[str, ibis.Table]) -> dict[str, Trait]:
    """A trait ``survey_<item>`` for each item: its letters and digits in lower case, the rest as underscores."""
    if "survey" not in tables:
        return {}
    survey = tables["survey"].filter(lambda t: t.item.notnull() & t.score.notnull())
    asked = survey.group_by("item").agg(people=survey.customer_id.nunique()).to_pandas()
    asked = asked.sort_values(["people", "item"], ascending=[False, True]).head(MOST_ITEMS)
    found: dict[str, Trait] = {}
    for item in sorted(asked["item"]):
        name = "survey_" + "".join(c if c.isalnum() else "_" for c in item.lower()).strip("_")
        while name in found:  # two items that differ in punctuation only
            name += "_"
        meaning = mark("mean score given when last asked")
        found[name] = Trait(name, "number", "survey", meaning, _mean(item), over="survey")
    return found


def _mean(item: str) -> Callable[[ibis.Table, Data], ibis.Value]:
    def compute(survey: ibis.Table, data: Data) -> ibis.Value:
        asked = survey.item == item
        total = survey.score.cast(MONEY).sum(where=asked).cast("float64")
        return total / survey.count(where=asked).nullif(0)

    return compute
