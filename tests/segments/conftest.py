"""A small base of customers with every kind of trait."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from crmlab.contract import Basis, generator


@pytest.fixture(scope="session")
def base() -> SimpleNamespace:
    """2,000 customers whose channel goes with their coupons; traits with table and catalogue."""
    rng, n = generator(7, "segments"), 2_000
    channel = rng.choice(["web", "shop", "phone", "fax"], n, p=[0.5, 0.3, 0.17, 0.03])
    table = pd.DataFrame(
        {
            "customer_id": [f"{i:05d}" for i in range(n)],
            "recency_days": rng.integers(0, 300, n).astype(float),
            "frequency": rng.integers(1, 40, n),
            "monetary": np.round(rng.lognormal(5, 1, n), 2),
            "coupons": rng.poisson(np.where(channel == "web", 2.0, 0.3)),
            "channel": pd.Series(channel, dtype="str").mask(rng.random(n) < 0.1),
            "club": rng.integers(0, 2, n),
            "age": rng.choice(["young", "old"], n),
        }
    )
    for score, of, sign in (("r_score", "recency_days", -1), ("f_score", "frequency", 1), ("m_score", "monetary", 1)):
        table[score] = np.ceil((sign * table[of]).rank(pct=True) * 5)
    table.loc[:9, ["recency_days", "r_score", "f_score", "m_score"]] = np.nan
    kinds = {"channel": "category", "age": "category", "club": "flag"}
    catalogue = pd.DataFrame({"name": table.columns[1:]})
    catalogue["kind"] = [kinds.get(c, "number") for c in catalogue["name"]]
    catalogue["sensitive"] = catalogue["name"] == "age"
    catalogue["source"] = "customers"
    return SimpleNamespace(table=table, catalogue=catalogue, basis=Basis(n, "customers"))
