import numpy as np
import pandas as pd
import pytest
from statsmodels.duration.survfunc import SurvfuncRight

from crmlab.base.periods import from_survivors
from crmlab.base.survival import observed
from crmlab.clv.contracts.renewals import RetentionCurve, retention_curve
from crmlab.clv.models import sbg
from crmlab.clv.params import CLVParams
from crmlab.contract import Basis, GateFailed, Sentence

HIGH_END = [1000, 869, 743, 653, 593, 551, 517, 491]
PARAMS = CLVParams()


def curve(survival, *, rates=None, customers=100, rising=0.5, c=None, older=0.0):
    survival = np.array(survival)
    table = pd.DataFrame(
        {
            "renewal": np.arange(1, len(survival) + 1),
            "customers": customers,
            "stayed": survival if rates is None else rates,
            "survival": survival,
            "survival_low": survival - 0.02,
            "survival_high": survival + 0.02,
            "model_rate": survival / np.r_[1, survival[:-1]],
        }
    )
    return RetentionCurve(table, Basis(100, "contracts"), "sBG", rising, c, older)


def said(result):
    return " ".join(str(s) for s in result.sentences())


def test_observed_retention_is_kaplan_meier_with_late_entry():
    rng = np.random.default_rng(1)
    since = np.where(rng.random(600) < 0.4, rng.integers(0, 5, 600), 0)
    template = pd.DataFrame({"periods": 0, "ended": 0, "since": since, "observed": since + rng.integers(1, 15, 600)})
    history = sbg.simulate({"alpha": 1.0, "beta": 5.0}, template, rng)
    found = observed(history).set_index("renewal")
    reference = SurvfuncRight(history["periods"], history["ended"], entry=history["since"]).summary()
    both = found.loc[reference.index]
    assert both["customers"].to_numpy() == pytest.approx(reference["num at risk"])
    assert both["stayed"].to_numpy() == pytest.approx(reference["Surv prob"])
    error = reference["Surv prob SE"].to_numpy()
    assert ((both["stayed_high"] - both["stayed_low"]) / 2).to_numpy() == pytest.approx(1.645 * error, rel=0.05)
    assert (found["stayed_low"] <= found["stayed"]).all()


def test_nothing_is_observed_before_anybody_was_up_for_renewal():
    history = pd.DataFrame({"periods": [5, 6, 7], "ended": [1, 0, 1], "since": [3, 3, 4]})
    found = observed(history)
    assert found["customers"].tolist() == [0, 0, 0, 2, 3, 2, 1]
    assert found["stayed"].isna().all()
    assert found["rate"].tolist()[3:] == pytest.approx([1, 2 / 3, 1, 0])


def test_the_curve_goes_on_beyond_the_data(known_fit):
    fitted = known_fit("sbg", spread=0.02, alpha=0.668, beta=3.806)
    found = retention_curve(from_survivors(HIGH_END), fitted, ahead=5, params=PARAMS)
    table = found.table
    assert table["renewal"].tolist() == list(range(1, 13))
    assert table["stayed"].tolist()[:7] == pytest.approx([s / 1000 for s in HIGH_END[1:]])
    assert table["stayed"].isna().tolist() == [False] * 7 + [True] * 5
    assert (table["customers"] == [*HIGH_END[:7], 0, 0, 0, 0, 0]).all()
    published = [0.851, 0.747, 0.669, 0.610, 0.561, 0.522, 0.489, 0.460, 0.436, 0.414, 0.395, 0.378]
    assert table["survival"].tolist() == pytest.approx(published, abs=2e-3)
    assert "38% of new subscribers are expected to be left after 12 renewals" in said(found)
    assert "Retention rises with tenure, from 85.1% at renewal 1 to 93.6% at renewal 7" in said(found)
    assert found.basis.n == 1000


def test_it_says_which_way_retention_goes():
    falling = [0.9, 0.7, 0.4]
    assert "rises" in said(curve([0.7, 0.6, 0.55], rising=0.99))
    assert "falls" in said(curve(falling, rising=0.01))
    assert "is open" in said(curve(falling, rising=0.5))
    assert "hardly changes" in said(curve([0.9, 0.81, 0.729], rising=0.99))
    assert "tenure" not in said(curve(falling, customers=[9, 3, 2]))


def test_it_says_whose_loyalty_changes():
    assert "lets nobody's own loyalty change" in said(curve([0.9, 0.8]))
    assert "more easily the longer" in said(curve([0.9, 0.8], c=(1.5, 1.2, 1.9, 0.99)))
    assert "rises all the same" not in said(curve([0.9, 0.8], c=(1.5, 1.2, 1.9, 0.99)))
    assert "rises all the same" in said(curve([0.7, 0.6], c=(1.5, 1.2, 1.9, 0.99), rising=0.99))
    assert "less easily the longer" in said(curve([0.9, 0.8], c=(0.6, 0.4, 0.8, 0.01)))
    assert "loyalty changes with tenure is open" in said(curve([0.9, 0.8], c=(1.1, 0.8, 1.4, 0.7)))


def test_it_says_how_far_the_model_is_from_what_was_observed():
    assert "never more than 1.0 percentage points" in said(curve([0.9, 0.8], rates=[0.9, 0.81]))
    assert "up to 10.0 percentage points" in said(curve([0.9, 0.8], rates=[0.9, 0.7]))


def test_it_says_how_many_contracts_are_older_than_the_records():
    assert "before the records" not in said(curve([0.9, 0.8]))
    assert "25% of contracts began before the records do" in said(curve([0.9, 0.8], older=0.25))


def test_renewals_of_fewer_than_five_are_hidden():
    page = curve([0.9, 0.8], customers=[1000, 3])._repr_html_()
    assert "&lt; 5" in page


def test_no_curve_from_a_fit_that_failed(known_fit):
    fitted = known_fit("sbg", failures=[Sentence("k̂ too large")], alpha=0.668, beta=3.806)
    with pytest.raises(GateFailed, match="k̂ too large"):
        retention_curve(from_survivors(HIGH_END), fitted, ahead=5, params=PARAMS)
