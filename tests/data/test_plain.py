"""The short way to values that are plainly written, against the rules for all others."""

from itertools import product

import ibis
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ibis.util import gen_name

from crmlab.data.convert import How, bare, is_plain, of_bare, plain
from crmlab.data.raw import hold

NUMBERS = st.text(alphabet="017.eE+-_ \t\u00a0x,", max_size=9) | st.decimals(places=3).map(str)
DAYS = st.dates().map(str) | st.text(alphabet="0129- \t", max_size=11) | st.datetimes().map(str)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(values=st.lists(st.tuples(DAYS, NUMBERS), min_size=1, max_size=150), form=st.sampled_from([None, "%Y-%m-%d"]))
def test_what_is_plainly_written_is_read_as_by_the_rules(values, form):
    con = ibis.duckdb.connect()
    for how, mark in product([How(form), How(form, ",", "."), How(form, ".", ",")], ["", " ", "\u00a0"]):
        texts = pa.table({"day": [d + mark for d, _ in values], "number": [mark + n for _, n in values]})
        raw = hold(con, gen_name("raw"), texts)
        for column, kind in (("day", "date"), ("number", "money")):
            cast = plain(raw[column], kind, how)
            if cast is not None:
                slowly = of_bare(bare(raw[column]), kind, how)
                other = raw.filter(is_plain(raw[column], cast) & ~cast.identical_to(slowly))
                assert other[column].execute().tolist() == []
