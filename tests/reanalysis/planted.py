"""A company of two segments whose truth is known, for tests of levels, homogeneity and refinement."""

import numpy as np
import pandas as pd

from crmlab.base.traits import Traits
from crmlab.contract import Basis, generator
from crmlab.segments.tree import Tree, assign, from_yaml

TREE = """\
next_id: 3
nodes:
- {id: s1, name: Alpha, when: [{trait: half, is: [a]}]}
- {id: s2, name: Beta, when: []}
"""


def tree() -> Tree:
    return from_yaml(TREE)


def traits(n: int, seed: int, *, unknown: float = 0.4) -> Traits:
    """`n` customers: half in Alpha; a flag, a number, a category and an age that some never gave."""
    rng = generator(seed, "planted", "traits")
    ids = [f"c{i:05d}" for i in range(n)]
    table = pd.DataFrame(
        {
            "customer_id": ids,
            "flag": rng.integers(0, 2, n),
            "x": np.round(rng.normal(size=n), 3),
            "region": pd.array(rng.choice(["north", "south", "east"], n), dtype="str"),
            "age": np.where(rng.random(n) < unknown, np.nan, rng.integers(20, 80, n)),
            "half": pd.array(np.where(np.arange(n) < n // 2, "a", "b"), dtype="str"),
        }
    )
    rows = [
        ("flag", "flag", "transactions", True),
        ("x", "number", "transactions", True),
        ("region", "category", "transactions", True),
        ("age", "number", "customers", True),
        ("half", "category", "transactions", False),
    ]
    catalogue = pd.DataFrame(rows, columns=["name", "kind", "source", "allowed_for_splits"])
    return Traits(table, Basis(n, "customers"), catalogue.assign(sensitive=False, meaning=""))


def contacts(known: Traits, rate: np.ndarray, seed: int, *, campaigns: int = 1, share: float = 1.0) -> pd.DataFrame:
    """Contacts and answers; `rate` is each customer's true one, halved in every second campaign."""
    rng = generator(seed, "planted", "contacts")
    segment = assign(tree(), known.table).to_numpy()
    rows = []
    for c in range(campaigns):
        sent = rng.random(len(rate)) < share
        rows.append(
            pd.DataFrame(
                {
                    "customer_id": known.table["customer_id"].to_numpy()[sent],
                    "campaign_id": f"k{c}",
                    "sent_at": pd.Timestamp("2017-05-08").as_unit("s") + pd.Timedelta(days=7 * c),
                    "segment": segment[sent],
                    "response": (rng.random(len(rate)) < rate / (1 + c % 2)).astype(int)[sent],
                    "spend": rng.gamma(1.0, 10.0, len(rate))[sent],
                    "orders": 1,
                }
            )
        )
    return pd.concat(rows, ignore_index=True)
