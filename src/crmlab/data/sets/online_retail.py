"""Online Retail: a year of a British gift wholesaler's web shop (UCI repository, CC BY 4.0).

Chen, D., Sain, S. L. and Guo, K. (2012), "Data mining for the online retail industry", J. Database Marketing 19(3).
"""

from datetime import date
from typing import Literal

import ibis

from crmlab.contract import Params, Sentence, mark
from crmlab.data.locate import locate
from crmlab.data.raw import Raw

DUPLICATE = mark("the same line as another of the same invoice")


class Options(Params):
    """Options of the source ``online_retail``."""

    duplicates: Literal["keep", "drop"] = "keep"
    """Lines equal to another in every column: kept as further units bought, or set aside."""


def read(con: ibis.BaseBackend, options: Options) -> Raw:
    """Invoice lines and customers' countries under canonical names, read in place from Parquet."""
    raw = con.read_parquet(locate("online_retail"))
    tables = {"transactions": _transactions(raw, options.duplicates), "customers": _customers(raw)}
    twice = int(raw.count().execute()) - int(raw.distinct().count().execute())
    services = int(raw.filter(~raw.StockCode.re_search("^[0-9]")).count().execute())
    notes = (
        Sentence("Licence as stated: CC BY 4.0 (UCI Machine Learning Repository, Online Retail)."),
        Sentence("Returns and lines without a customer were removed before we got the data.", tone="warn"),
        Sentence("{rows:,} rows equal another row in every column.", {"rows": twice}),
        Sentence(
            "{rows:,} rows are postage, carriage, charges and manual entries; their money counts.",
            {"rows": services},
        ),
        Sentence("Many customers are wholesalers: a few of them make up much of the revenue."),
    )
    return Raw(tables, date(2011, 12, 9), notes)


def _transactions(raw: ibis.Table, duplicates: str) -> ibis.Table:
    table = raw.select(
        customer_id=raw.CustomerID.cast("string"),
        date=raw.InvoiceDate.cast("date"),
        amount=raw.Revenue,
        order_id=raw.InvoiceNo,
        product_id=raw.StockCode,
        quantity=raw.Quantity,
        copy=ibis.row_number().over(group_by=[raw[c] for c in raw.columns], order_by=raw.InvoiceNo),
    )
    if duplicates == "keep":
        return table.drop("copy")
    return table.mutate(set_aside=ibis.ifelse(table["copy"] > 0, DUPLICATE, ibis.null("string"))).drop("copy")


def _customers(raw: ibis.Table) -> ibis.Table:
    """A customer's country: the one of most of its lines (eight have two), ties by name."""
    lines = raw.group_by(["CustomerID", "Country"]).agg(lines=lambda t: t.count())
    order = [lines.lines.desc(), lines.Country.asc()]
    first = lines.mutate(place=ibis.row_number().over(group_by=lines.CustomerID, order_by=order))
    first = first.filter(first.place == 0)
    return first.select(customer_id=first.CustomerID.cast("string"), country=first.Country)
