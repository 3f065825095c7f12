"""Values of traits: all that are aggregates of one relation in one pass of the engine, aligned with the customers."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import date

import ibis
import ibis.expr.operations as ops
import numpy as np
import pandas as pd
import pyarrow as pa

from crmlab.base.orders import orders as orders_of
from crmlab.base.provenance import strangers
from crmlab.base.register import RELATIONS, Data, Trait, TraitsParams
from crmlab.base.rfm import buyers
from crmlab.contract import Fault, Refused

ORDERS, BUYERS, PEOPLE = "crmlab_orders_of_traits", "crmlab_buyers_of_traits", "crmlab_people_of_traits"
"""Temporary tables of the engine."""


@contextmanager
def seen(
    tables: Mapping[str, ibis.Table], orders: ibis.Table | None, as_of: date, params: TraitsParams
) -> Iterator[Data]:
    """What traits are computed from: what many of them read is computed once into a temporary table of the engine."""
    engine = _engine([*tables.values(), *([] if orders is None else [orders])])
    with ExitStack() as kept:
        if orders is None and "transactions" in tables:
            orders = kept.enter_context(_kept(engine, ORDERS, orders_of(tables["transactions"])))
        each = None if orders is None else kept.enter_context(_kept(engine, BUYERS, buyers(orders, as_of=as_of)))
        yield Data(tables, orders, as_of, params, each)


def _engine(tables: list[ibis.Table]) -> ibis.BaseBackend:
    """The engine that the tables are in; tables made in this process come to it."""
    placed = [leaf.source for table in tables for leaf in table.op().find(ops.DatabaseTable)]
    return placed[0] if placed else ibis.get_backend()


@contextmanager
def _everybody(data: Data) -> Iterator[ibis.Table]:
    """customer_id of everybody in the customers table or with an order, and place, counted in the order of the ids."""
    known = [data.tables["customers"].select("customer_id")] if "customers" in data.tables else []
    known += [data.buyers.select("customer_id")] if data.buyers is not None else []
    if not known:
        raise Refused("traits", "there is neither a customers nor a transactions table")
    ids = ibis.union(*known, distinct=True) if len(known) > 1 else known[0].distinct()
    ids = ids.filter(ids.customer_id.notnull())
    engine = _engine([*data.tables.values(), ids])
    with _kept(engine, PEOPLE, ids.mutate(place=ibis.row_number().over(order_by=ids.customer_id))) as made:
        yield made


@contextmanager
def _kept(engine: ibis.BaseBackend, name: str, table: ibis.Table) -> Iterator[ibis.Table]:
    engine.raw_sql(f"DROP TABLE IF EXISTS {name}")
    try:
        yield engine.create_table(name, table, temp=True)
    finally:
        engine.raw_sql(f"DROP TABLE IF EXISTS {name}")


def values_of(wanted: list[Trait], data: Data) -> dict[str, pd.Series]:
    """customer_id of everybody, sorted, and each trait's values in their order; traits without columns are left out.

    A trait that reads anything but what `data` holds is refused by its name.
    """
    together: dict[str, list[Trait]] = {}
    for one in wanted:
        together.setdefault(one.over or f"alone {one.name}", []).append(one)
    computed, faults = [], []
    for members in together.values():
        table, read = _computed(members, data)
        faults += read
        if table is not None:
            computed.append((table, [one for one in members if one.name in table.columns]))
    if faults:
        raise Refused("traits would see what they were not given", faults)
    with _everybody(data) as people:
        ids = people.order_by("place").select("customer_id").to_pyarrow().to_pandas()["customer_id"].astype("str")
        columns = {"customer_id": ids}
        for table, members in computed:
            columns |= _aligned(table, members, people, len(ids))
    return {name: columns[name] for name in ["customer_id", *(one.name for one in wanted)] if name in columns}


def _computed(members: list[Trait], data: Data) -> tuple[ibis.Table | None, list[Fault]]:
    """One table of customer_id and the values of traits over one relation, and the faults of what they read."""
    given = [*data.tables.values(), *(t for t in (data.orders, data.buyers) if t is not None)]
    if members[0].over is None:
        (one,) = members
        table = one.compute(data)
        if table is None:
            return None, []
        return table.select("customer_id", **{one.name: table.value}), _faults(one, table, given)
    relation = RELATIONS[members[0].over]
    rows = relation.rows(data)
    values = {} if rows is None else {one.name: (one, one.compute(rows, data)) for one in members}
    values = {name: (one, value) for name, (one, value) in values.items() if value is not None}
    if not values:
        return None, []
    faults = [f for one, value in values.values() for f in _faults(one, value, given)]
    if faults:
        return None, faults
    plain = {name: value for name, (_, value) in values.items()}
    if relation.one_each:
        return rows.select("customer_id", **plain), []
    return rows.group_by("customer_id").agg(**plain), []


def _faults(one: Trait, read: ibis.Expr, given: list[ibis.Table]) -> list[Fault]:
    names = ", ".join(repr(n) for n in strangers(read, given))
    what = f"reads {names}: a trait may read nothing but the tables it is given, which end with the cycle's last day"
    return [Fault(one.name, what)] if names else []


def _aligned(table: ibis.Table, members: list[Trait], people: ibis.Table, n: int) -> dict[str, pd.Series]:
    """The values of `table`, in the order of the `n` customers' places, in the plain types of their kinds."""
    joined = people.inner_join(table, "customer_id")
    values = {one.name: joined[one.name].cast("string" if one.kind == "category" else "float64") for one in members}
    found = joined.select("place", **values).to_pyarrow().combine_chunks()
    row_of = np.full(n, -1)
    row_of[found["place"].to_numpy()] = np.arange(len(found))
    if (row_of >= 0).sum() < len(found):
        raise ValueError(f"{', '.join(one.name for one in members)}: a customer is returned twice")
    frame = found.drop("place").take(pa.array(row_of, mask=row_of < 0)).to_pandas()
    return {one.name: _plain(frame[one.name], one) for one in members}


def _plain(values: pd.Series, one: Trait) -> pd.Series:
    if one.kind == "category":
        return values.astype("str")
    values = values.astype("float64")
    if one.fill is None:
        return values
    return values.fillna(one.fill).astype("int64" if isinstance(one.fill, int) else "float64")
