"""CDNOW: everybody who first bought in the first quarter of 1997, followed to the middle of 1998.

Fader, P. S. and Hardie, B. G. S. (2001), "Forecasting repeat sales at CDNOW: a case study", Interfaces 31(3).
"""

from datetime import date
from pathlib import Path

import ibis
import pyarrow as pa

from crmlab.contract import Fault, Params, Refused, Sentence
from crmlab.data.locate import locate
from crmlab.data.raw import Raw, hold

COLUMNS = ("customer_id", "date", "quantity", "amount")


class Options(Params):
    """Options of the source ``cdnow``."""

    sample: bool = False
    """Only the 2,357 customers of the published one-in-ten sample."""


def read(con: ibis.BaseBackend, options: Options) -> Raw:
    """Purchases under canonical names; ids are the master file's in the sample, too, so that the two agree."""
    path = locate("cdnow/sample" if options.sample else "cdnow/master")
    table = hold(con, "cdnow_lines", _lines(path, second_id=options.sample))
    notes = (
        Sentence("Licence as stated: for research use."),
        Sentence("There is no order number: all purchases of a customer on one day are one order."),
        Sentence("Every customer first bought in the first quarter of 1997: one cohort, from its first purchase on."),
    )
    return Raw({"transactions": table}, date(1998, 6, 30), notes, {"transactions": "%Y%m%d"})


def _lines(path: Path, *, second_id: bool) -> pa.Table:
    """The file's fields as text. The sample has a second id, its own running number, which is left out."""
    fields = [line.split() for line in path.read_text("ascii").splitlines()]
    fields = [f for f in fields if f and f[0].isdigit()]
    wanted = (0, 2, 3, 4) if second_id else (0, 1, 2, 3)
    if any(len(f) != wanted[-1] + 1 for f in fields):
        raise Refused("data set cdnow", [Fault(str(path), f"a line does not have {wanted[-1] + 1} fields")])
    return pa.table(
        {name: pa.array([f[i] for f in fields], pa.string()) for name, i in zip(COLUMNS, wanted, strict=True)}
    )
