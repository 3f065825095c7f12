"""In which segment a customer was when they were contacted: by the traits of the day before."""

from collections.abc import Mapping
from datetime import date

import ibis
import numpy as np
import pandas as pd

from crmlab.base.built_in.survey import items
from crmlab.base.traits import TraitsParams, traits
from crmlab.data.intake import cut
from crmlab.segments.nodes import Tree
from crmlab.segments.tree import assign, traits_used


def at_contact(
    tree: Tree,
    tables: Mapping[str, ibis.Table],
    contacts: pd.DataFrame,
    *,
    params: TraitsParams,
    known: Mapping[date, pd.Series],
) -> pd.Series:
    """Segment of each contact by `tree` and by what was known the day before it was sent.

    A segment may rest on how people answered before. Put into today's segments, old answers would be counted in
    segments that they themselves made; the traits of the day before a contact know nothing of its answer.

    Parameters
    ----------
    tree
        The segment tree.
    tables
        Canonical tables, of any later day.
    contacts
        customer_id and sent_at, one row a contact.
    params
        How traits are computed.
    known
        Day → membership of that day, where it is at hand already.

    Returns
    -------
    Series
        Segment id, aligned with `contacts`; missing where the contact was sent before the data begin, or to a customer
        of whom nothing was known yet.
    """
    segment = pd.Series(None, index=contacts.index, dtype="str")
    needed = params.model_copy(update={"include": tuple(traits_used(tree)), "exclude": ()})
    bought = "transactions" in tables and _any(tables["transactions"])
    for sent, rows in contacts.groupby("sent_at"):
        day = (sent - pd.Timedelta(days=1)).date()
        then = known[day] if bought and day in known else _membership(tree, tables, day, needed, bought=bought)
        if len(then):
            segment.loc[rows.index] = rows["customer_id"].map(then)
    return segment


def _membership(
    tree: Tree, tables: Mapping[str, ibis.Table], day: date, params: TraitsParams, *, bought: bool
) -> pd.Series:
    """Customer → segment by what was known on `day`; of nobody before the first transaction.

    A list of people of whom no purchase is on record is known whole on any day: nothing tells since when they are.
    """
    seen = {name: cut(table, name, day) for name, table in tables.items() if bought or name != "transactions"}
    if bought and not _any(seen["transactions"]):
        return pd.Series([], index=pd.Index([], dtype="str"), dtype="str")
    described = _described(seen, day, params)
    dated = [t.select("customer_id") for n, t in seen.items() if n != "customers" and "customer_id" in t.columns]
    if bought and len(dated) > 1:
        people = ibis.union(*dated, distinct=True).customer_id.to_pandas()
        described = described[described["customer_id"].isin(people)]
    return assign(tree, described)


def _described(seen: Mapping[str, ibis.Table], day: date, params: TraitsParams) -> pd.DataFrame:
    """The traits of that day; items of a survey that nobody had been asked by then are missing."""
    wanted = params.include or ()
    absent = [t for t in wanted if t.startswith("survey_")]
    if absent:
        there = {*items(seen), *(seen["customers"].columns if "customers" in seen else ())}
        absent = [t for t in absent if t not in there]
    asked = params.model_copy(update={"include": tuple(t for t in wanted if t not in absent)})
    return traits(seen, as_of=day, params=asked).table.assign(**dict.fromkeys(absent, np.nan))


def _any(table: ibis.Table) -> bool:
    return table.limit(1).count().to_pyarrow().as_py() > 0
