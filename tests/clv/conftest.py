"""A published data set, and fits made of known draws."""

from importlib.metadata import PackageNotFoundError, distribution

import ibis
import numpy as np
import pandas as pd
import pytest

from crmlab.base.history import history
from crmlab.clv.fitting.fit import Fit
from crmlab.contract import Basis

CALIBRATION_END = pd.Timestamp("1997-09-30").date()


@pytest.fixture(scope="session")
def cdnow_orders():
    """Orders of the 2,357-customer sample: Fader, Hardie & Lee 2005."""
    try:
        files = distribution("lifetimes").files
    except PackageNotFoundError:
        pytest.skip("the distribution `lifetimes`, which carries CDNOW_sample.txt, is not installed")
    (path,) = [f.locate() for f in files if f.name == "CDNOW_sample.txt"]
    raw = pd.read_csv(path, sep=r"\s+", header=None, dtype=str, names=["master", "customer_id", "date", "n", "amount"])
    lines = ibis.memtable(raw)
    table = lines.select(
        "customer_id",
        date=lines["date"].as_date("%Y%m%d"),
        amount=lines["amount"].cast("decimal(18, 4)"),
    )
    return ibis.duckdb.connect().create_table("orders", table.mutate(order_id=ibis.row_number().cast("string")))


@pytest.fixture(scope="session")
def cdnow(cdnow_orders):
    """x, t_x, T, z_bar of the sample over its 39 weeks."""
    return history(cdnow_orders, as_of=CALIBRATION_END)


def fit_of(model: str, *, draws: int = 40, spread: float = 0.0, failures=(), **parameters: float) -> Fit:
    """A fit whose draws are known: each parameter times a ramp of relative width `spread`."""
    ramp = 1 + spread * np.linspace(-1, 1, 2 * draws).reshape(2, draws)
    table = pd.DataFrame(
        [
            {"model": model, "parameter": k, "mean": v, "sd": 0.0, "low": v, "high": v, "r_hat": 1.0}
            | {"ess_bulk": 2.0 * draws, "ess_tail": 2.0 * draws}
            for k, v in parameters.items()
        ]
    )
    return Fit(
        table=table,
        basis=Basis(100, "customers"),
        model=model,
        draws={k: v * ramp for k, v in parameters.items()},
        divergences=0,
        passed=not failures,
        failures=tuple(failures),
    )


PUBLISHED = {
    "bgnbd": {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426},
    "gamma_gamma": {"p": 6.25, "q": 3.74, "gamma": 15.44},
}


@pytest.fixture(scope="session")
def known_fit():
    return fit_of


@pytest.fixture(scope="session")
def published():
    return PUBLISHED


@pytest.fixture(scope="session")
def published_fits():
    return fit_of("bgnbd", spread=0.05, **PUBLISHED["bgnbd"]), fit_of("gamma_gamma", **PUBLISHED["gamma_gamma"])


@pytest.fixture(scope="session")
def validated(cdnow_orders):
    """The sample's published validation: 39 weeks to fit, 39 weeks withheld."""
    from crmlab.clv.params import CLVParams
    from crmlab.clv.validation.validate import validate

    params = CLVParams(validation_weeks=39, validation_share=0.5)
    return validate(cdnow_orders, as_of=pd.Timestamp("1998-06-30").date(), params=params, seed=1)
