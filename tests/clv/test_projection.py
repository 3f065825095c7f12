import numpy as np
import pandas as pd
import pytest

from crmlab.base.periods import from_survivors
from crmlab.clv.contracts.projection import CONSTANT, Projection, cut, project
from crmlab.clv.models import sbg
from crmlab.clv.params import CLVParams
from crmlab.contract import Basis, Refused

# Fader & Hardie (2007), table 1: subscribers left after each year, of 1,000
HIGH_END = [1000, 869, 743, 653, 593, 551, 517, 491, 468, 445, 427, 409, 394]
REGULAR = [1000, 631, 468, 382, 326, 289, 262, 241, 223, 207, 194, 183, 173]
PARAMS = CLVParams()


def said(result):
    return " ".join(str(s) for s in result.sentences())


@pytest.mark.parametrize(("survivors", "sbg_off"), [(HIGH_END, 0.042), (REGULAR, 0.02)])
def test_the_papers_projections_hold_what_happened(survivors, sbg_off):
    """The paper: fitted to seven years, the model is 4 % and 2 % off in the twelfth."""
    found = project(from_survivors(survivors), held_out=5, seed=1, params=PARAMS)
    table = found.table.set_index(["model", "ahead"])
    assert table.loc["sBG", "actual"].tolist() == survivors[8:]
    assert table["customers"].unique() == [survivors[7]]
    assert table.loc["sBG", "inside"].all()
    assert table.loc["BdW", "inside"].all()
    assert not table.loc[CONSTANT, "inside"].any()
    end = table.loc[("sBG", 5)]
    assert abs(end["projected"] / end["actual"] - 1) < sbg_off
    assert "the 90 % interval holds in 5 of 5 periods" in said(found)
    assert "constant retention rate" in said(found)
    assert "only 0 of 5" in said(found)


def test_intervals_cover_what_the_model_itself_makes_happen():
    rng = np.random.default_rng(11)
    inside = []
    for trial in range(25):
        started = rng.integers(0, 20, 800)
        template = pd.DataFrame({"periods": 0, "ended": 0, "since": 0, "observed": started})
        history = sbg.simulate({"alpha": 0.8, "beta": 5.0}, template, rng)
        found = project(history, held_out=4, seed=trial, params=PARAMS, models=("sbg",))
        inside.append(found.table.set_index(["model", "ahead"]).loc[("sBG", 4), "inside"])
    assert 0.72 <= np.mean(inside) <= 1


def test_at_the_cut_nothing_later_is_known():
    history = pd.DataFrame(
        [
            ("left before", 3, 1, 0, 10),
            ("left after", 8, 1, 0, 10),
            ("stays", 10, 0, 0, 10),
            ("began after", 2, 0, 0, 2),
            ("on record after", 10, 0, 8, 10),
            ("just began", 4, 0, 0, 4),
        ],
        columns=["customer_id", "periods", "ended", "since", "observed"],
    )
    before, ahead = cut(pd.concat([history, history.assign(customer_id="again " + history["customer_id"])]
                                  , ignore_index=True), 4)  # fmt: skip
    before = before.assign(ahead=ahead).set_index("customer_id")
    assert sorted(before.index[:4]) == ["just began", "left after", "left before", "stays"]
    assert before.loc["left before", ["periods", "ended", "observed"]].tolist() == [3, 1, 6]
    assert before.loc["left after", ["periods", "ended", "observed", "ahead"]].tolist() == [6, 0, 6, 1]
    assert before.loc["stays", ["periods", "ended", "ahead"]].tolist() == [6, 0, 4]
    assert before.loc["just began", ["periods", "ended", "ahead"]].tolist() == [0, 0, 4]


def test_what_cannot_be_withheld_is_refused():
    with pytest.raises(Refused, match="at least one period"):
        project(from_survivors(HIGH_END), held_out=0, seed=1, params=PARAMS)
    with pytest.raises(Refused, match="fewer than five"):
        project(from_survivors(HIGH_END), held_out=13, seed=1, params=PARAMS)
    with pytest.raises(Refused, match="observed"):
        project(from_survivors(HIGH_END).drop(columns="observed"), held_out=3, seed=1, params=PARAMS)
    with pytest.raises(Refused, match="followed to the end"):
        project(from_survivors(HIGH_END).assign(observed=20), held_out=3, seed=1, params=PARAMS)


def result(actual, inside):
    table = pd.DataFrame(
        {"model": "sBG", "ahead": [1, 2], "customers": 100, "actual": actual, "projected": [80.0, 70.0]}
        | {"low": [70.0, 60.0], "high": [90.0, 80.0], "inside": inside}
    )
    return Projection(table, Basis(100, "contracts"), {})


def test_it_says_how_far_off_it_was_and_hides_few():
    good = result([82, 71], [True, True])
    assert "70 of 100 subscribers were expected" in said(good)
    assert "71 were (1.4% off); the 90 % interval holds in 2 of 2" in said(good)
    assert "only 0 of 2" in said(result([60, 40], [False, False]))
    few = result([10, 3], [False, False])
    assert "fewer than five of 100" in said(few)
    assert "&lt; 5" in few._repr_html_()
