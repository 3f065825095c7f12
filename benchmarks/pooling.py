"""Accuracy of partial pooling: small segments fitted together, each by itself, and all as one.

``python benchmarks/pooling.py [--quick]``: simulates bases of eight segments of 20 to 200 customers whose BG/NBD
parameters differ, and compares what each way expects with what the segment's true parameters expect: purchases of its
customers, given their histories, and of a new customer, over 26 weeks. Prints a table, and last one line a goal.
"""

import sys
import time

import numpy as np
import pandas as pd

from crmlab.clv.fitting.fit import fit
from crmlab.clv.fitting.importance import resampled, sample
from crmlab.clv.fitting.pooled import fit_by_segment
from crmlab.clv.models.maths import NUMPY
from crmlab.clv.models.registry import model
from crmlab.clv.params import CLVParams
from crmlab.contract import generator

SIZES = (20, 30, 45, 60, 90, 120, 160, 200)
CENTRE, SPREAD = np.array([-0.4, -2.0, -1.2, 1.0]), np.array([0.2, 0.5, 0.5, 0.2])
WEEKS, DRAWS = 26, 200
MODEL = model("bgnbd")
NEW = pd.DataFrame({"x": [0.0], "t_x": [0.0], "T": [0.0]})


def natural(theta: np.ndarray) -> dict[str, np.ndarray]:
    return MODEL.natural(dict(zip(MODEL.priors, np.moveaxis(theta, -1, 0), strict=True)), {}, NUMPY)


def world(number: int) -> tuple[pd.DataFrame, dict[str, dict[str, float]]]:
    """A base, and the true parameters of each of its segments."""
    rng = generator(26, "pooling", str(number))
    truth = {f"s{i}": natural(CENTRE + SPREAD * rng.normal(size=4)) for i in range(len(SIZES))}
    parts = []
    for (segment, parameters), n in zip(truth.items(), SIZES, strict=True):
        blank = pd.DataFrame({"segment": segment, "T": rng.integers(100, 365, n) / 7})
        parts.append(MODEL.simulate(parameters, blank, rng))
    history = pd.concat(parts, ignore_index=True)
    return history.assign(customer_id=[f"{i:05d}" for i in range(len(history))]), truth


def expected(draws: dict[str, np.ndarray], history: pd.DataFrame) -> tuple[float, float]:
    """Purchases expected over the horizon of the mean customer, and of a new one."""
    whole = MODEL.expected_purchases(draws, history, WEEKS)[0].mean()
    return float(whole), float(MODEL.expected_purchases(draws, NEW, WEEKS)[0].mean())


def compare(number: int) -> pd.DataFrame:
    """What each way expects of each segment of one base, and the truth."""
    history, truth = world(number)
    membership = history.set_index("customer_id")["segment"]
    pooled = fit_by_segment(history, membership, "bgnbd", seed=number, name="pooling", params=CLVParams())
    whole = fit(history, "bgnbd", seed=number, name="as one", params=CLVParams())
    records = []
    for segment, inside in history.groupby("segment"):
        rng = generator(number, "apart", segment)
        ways = {
            "truth": truth[segment],
            "pooled": pooled.draws[segment],
            "as one": whole.draws,
            "by itself": natural(resampled(sample(MODEL, inside, rng), DRAWS, rng)),
        }
        for way, draws in ways.items():
            flat = {k: np.ravel(v) for k, v in draws.items()}
            step = max(1, len(flat["r"]) // DRAWS)
            of_customers, of_new = expected({k: v[::step] for k, v in flat.items()}, inside)
            records.append((number, segment, len(inside), way, of_customers, of_new, pooled.method))
    columns = ["base", "segment", "customers", "way", "given histories", "new customer", "method"]
    return pd.DataFrame(records, columns=columns)


def main(quick: bool) -> None:
    started = time.process_time()
    bases = 4 if quick else 24
    found = pd.concat([compare(number) for number in range(bases)], ignore_index=True)
    wide = found.pivot_table(
        index=["base", "segment", "customers"], columns="way", values=["given histories", "new customer"]
    )
    errors = {}
    for what in ("given histories", "new customer"):
        for way in ("pooled", "by itself", "as one"):
            off = wide[what, way] - wide[what, "truth"]
            small = off[off.index.get_level_values("customers") <= 60]
            errors[what, way] = np.sqrt((off**2).mean()), np.sqrt((small**2).mean())
    print(f"{bases} bases of {len(SIZES)} segments, {time.process_time() - started:.0f} CPU s")
    print(f"sampled by {found['method'].value_counts(normalize=True).round(2).to_dict()}")
    print("\nRMSE of purchases expected a customer, 26 weeks          all segments   up to 60 customers")
    for (what, way), (whole, small) in errors.items():
        print(f"  {what:18s} {way:12s} {whole:34.4f} {small:20.4f}")
    if quick:
        print(f"\nLeft out by --quick: {24 - bases} of 24 bases.")
    print()
    for what in ("given histories", "new customer"):
        for other in ("by itself", "as one"):
            ratio = errors[what, "pooled"][0] / errors[what, other][0]
            print(f"POOLED / {other.upper()}, {what}  {ratio:.3f}  < 1  {'met' if ratio < 1 else 'short'}")


if __name__ == "__main__":
    main("--quick" in sys.argv[1:])
