"""Whether planted classes are found, and nothing where nothing is.

``python benchmarks/clusters.py [--quick | --long]``: simulates 2,000 customers of ten traits in three to six classes,
well and badly separated, with equal and unequal shares, spherical and any covariances, with and without categories,
and holds the classes found against those of Bayes' rule under the true model; then simulates bases without classes in
many guises and counts how often clusters are claimed. 8 planted bases a separation and 25 runs a guise take under an
hour of a core; 24 and 100 (``--long``), which tell 95 of 100 from 90, several; ``--quick`` less than a minute.
"""

import sys
import time
import zlib

import numpy as np
import pandas as pd
from scipy.stats import multivariate_normal
from sklearn.metrics import adjusted_rand_score

from crmlab.contract import generator
from crmlab.segments.mixture.classes import Classes, fit_classes
from crmlab.segments.mixture.params import MixtureParams

N, TRAITS = 2_000, 10
PARAMS = MixtureParams()


def planted(number: int, separation: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Numbers, categories, classes, and the adjusted Rand index of Bayes' rule, of one base."""
    rng = generator(number, "planted", f"{separation:g}")
    k = 3 + number % 4
    weights = np.ones(k) / k if number % 2 == 0 else np.maximum(rng.dirichlet(np.full(k, 4.0)), 0.06)
    weights = weights / weights.sum()
    means = rng.normal(size=(k, TRAITS)) * separation
    if number % 3 == 0:
        half = rng.normal(size=(k, TRAITS, TRAITS)) * 0.5 + np.eye(TRAITS)
        covariances = half @ half.transpose(0, 2, 1)
        covariances *= TRAITS / np.trace(covariances, axis1=1, axis2=2)[:, None, None]
    else:
        covariances = np.array([np.diag(rng.uniform(0.5, 1.5, TRAITS)) for _ in range(k)])
    group = rng.choice(k, N, p=weights)
    noise = rng.normal(size=(N, TRAITS))
    x = means[group] + np.einsum("nij,nj->ni", np.linalg.cholesky(covariances)[group], noise)
    shares = [rng.dirichlet(np.ones(3), k) for _ in range(3 if number % 5 == 0 else 0)]
    codes = [(rng.random(N)[:, None] > p[group].cumsum(axis=1)).sum(axis=1).clip(0, 2) for p in shares]
    logs = np.column_stack([multivariate_normal(m, c).logpdf(x) for m, c in zip(means, covariances, strict=True)])
    logs = logs + np.log(weights) + sum(np.log(p.T[c]) for p, c in zip(shares, codes, strict=True))
    best = adjusted_rand_score(group, logs.argmax(axis=1))
    return x, np.column_stack(codes) if codes else np.zeros((N, 0)), group, best


def correlated(rng: np.random.Generator) -> np.ndarray:
    """Normal numbers with three common factors."""
    return (rng.normal(size=(N, 3)) @ rng.normal(size=(3, TRAITS)) + rng.normal(size=(N, TRAITS))) / 2


def buyers(rng: np.random.Generator) -> pd.DataFrame:
    """Customers of one BG/NBD and one gamma-gamma population: CDNOW's parameters [Fader, Hardie and Lee 2005; 2013]."""
    weeks, rate, leave = rng.uniform(27, 39, N), rng.gamma(0.243, 1 / 4.414, N), rng.beta(0.793, 2.426, N)
    level, rows = rng.gamma(3.74, 1 / 15.44, N), []
    for until, often, dies, worth in zip(weeks, rate, leave, level, strict=True):
        times = [0.0]
        while len(times) == 1 or rng.random() >= dies:
            after = times[-1] + rng.exponential() / often
            if after > until:
                break
            times.append(after)
        days, end = np.unique(np.floor(np.array(times) * 7)), np.floor(until * 7)
        spent, recent = rng.gamma(6.25, 1 / worth, len(days)), days > end - 91
        gap = np.diff(days).mean() if len(days) > 1 else np.nan
        rows.append((end - days[-1], len(days), spent.sum(), recent.sum(), spent[recent].sum(), spent.mean(), gap, end))
    names = ["recency_days", "frequency", "monetary", "orders_13w", "spend_13w", "mean_order_value", "ipt_mean_days"]
    return pd.DataFrame(rows, columns=[*names, "tenure_days"])


def skewed(rng: np.random.Generator) -> np.ndarray:
    """Cubes, counts and exponentials of one normal copula."""
    z = correlated(rng)
    return np.column_stack([z[:, :3] ** 3, np.floor(np.exp(z[:, 3:5])), np.exp(z[:, 5:])])


def clayton(rng: np.random.Generator) -> np.ndarray:
    """Uniform numbers under Clayton's copula: the low are alike, the high are not."""
    shared = rng.gamma(1 / 1.5, 1, (N, 1))
    return (1 + rng.exponential(size=(N, TRAITS)) / shared) ** (-1 / 1.5)


def mixed(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Normal, skewed and counted numbers with categories, all of one normal copula."""
    z = correlated(rng)
    x = np.column_stack([np.exp(z[:, :3]), np.floor(np.exp(z[:, 3] + 0.5)), z[:, 4:7]])
    return x, np.column_stack([z[:, 7] > 0.3, (z[:, 8] > 0) * 1 + (z[:, 8] > 1), rng.integers(0, 4, N)]).astype(int)


def nothing(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """`x` where a coin says so, and 0."""
    return np.where(rng.random(x.shape) < 0.3, 0, x)


ONE_CLOUD = {
    "normal": lambda rng: rng.normal(size=(N, TRAITS)),
    "correlated normal": correlated,
    "lognormal": lambda rng: np.exp(rng.normal(size=(N, TRAITS))),
    "correlated lognormal": lambda rng: np.exp(correlated(rng) * 1.2),
    "uniform": lambda rng: rng.random((N, TRAITS)),
    "uniform square": lambda rng: rng.random((N, 2)),
    "exponential": lambda rng: rng.exponential(size=(N, TRAITS)),
    "multivariate t(3)": lambda rng: correlated(rng) / np.sqrt(rng.chisquare(3, (N, 1)) / 3),
    "Poisson": lambda rng: rng.poisson(rng.uniform(0.5, 6, TRAITS), (N, TRAITS)),
    "zero-inflated NB": lambda rng: nothing(rng, rng.negative_binomial(1.5, 0.2, (N, TRAITS))),
    "skewed normal copula": skewed,
    "gamma frailty": lambda rng: rng.exponential(size=(N, TRAITS)) * rng.gamma(2, 1, (N, 1)),
    "Clayton copula": clayton,
    "mixed types": mixed,
    "independent categories": lambda rng: (np.zeros((N, 0)), rng.binomial(3, 0.4, (N, 6))),
    "BG/NBD buyers": buyers,
}
"""Bases without classes, by name: numbers, or numbers and categories."""


def found_in(numbers: np.ndarray | pd.DataFrame, codes: np.ndarray | None, seed: int) -> tuple[pd.DataFrame, Classes]:
    """The base as a table, and what is found in it."""
    names = numbers.columns if isinstance(numbers, pd.DataFrame) else [f"t{j}" for j in range(numbers.shape[1])]
    table = pd.DataFrame(np.asarray(numbers, dtype=float), columns=names)
    kinds = ["number"] * table.shape[1]
    for j, column in enumerate([] if codes is None else codes.T):
        table[f"c{j}"] = pd.Series(column.astype(int).astype(str), dtype="str")
        kinds.append("category")
    catalogue = pd.DataFrame({"name": list(table), "kind": kinds, "source": "transactions"})
    return table, fit_classes(table, catalogue, PARAMS, seed=seed, name="benchmark")


def recovery(bases: int, separations: tuple[float, ...]) -> pd.DataFrame:
    """How near the classes found come to the best possible."""
    rows = []
    for separation in separations:
        for number in range(bases):
            x, codes, group, best = planted(number, separation)
            table, found = found_in(x, codes, number)
            ari = {"mixture": 0.0, "k-means": 0.0}
            for way, one in (("mixture", found.mixture), ("k-means", found.nearest)):
                if one.model is not None:
                    ari[way] = adjusted_rand_score(group, one.model.derived(table))
            there, classes = int(group.max()) + 1, found.mixture.model.classes if found.mixture.model else 1
            rows.append((separation, number, there, classes, best, ari["mixture"], ari["k-means"]))
            print("  {:4.1f} {:4d} {:6d} {:6d} {:7.3f} {:7.3f} {:7.3f}".format(*rows[-1]), flush=True)
    return pd.DataFrame(rows, columns=["separation", "base", "there", "found", "best", "mixture", "k-means"])


def claims(guise: str, runs: int) -> tuple[int, int]:
    """In how many of the runs on bases without classes clusters are claimed, by the mixture and by k-means."""
    claimed = [0, 0]
    for number in range(runs):
        drawn = ONE_CLOUD[guise](generator(zlib.crc32(guise.encode()), "one cloud", str(number)))
        numbers, codes = drawn if isinstance(drawn, tuple) else (drawn, None)
        _, found = found_in(numbers, codes, number)
        claimed[0] += found.mixture.model is not None
        claimed[1] += found.nearest.model is not None
    return claimed[0], claimed[1]


def main(quick: bool, long: bool) -> None:
    """Measure, and hold against the aims."""
    bases, runs = (1, 1) if quick else (24, 100) if long else (8, 25)
    separations = (0.8,) if quick else (1.5, 0.8, 0.6)
    guises = ("normal", "uniform square", "mixed types") if quick else tuple(ONE_CLOUD)
    started = time.process_time()
    print("Planted: separation, base, classes there, found, ARI of Bayes' rule, of the mixture, of k-means")
    planted_ones = recovery(bases, separations)
    print(
        f"{time.process_time() - started:.0f} CPU s\n\nWithout classes, of {runs}: claimed by the mixture, by k-means"
    )
    counted = {}
    for guise in guises:
        counted[guise] = claims(guise, runs)
        print(f"  {guise:24s} {counted[guise][0]:4d} {counted[guise][1]:4d}", flush=True)
    print(f"{time.process_time() - started:.0f} CPU s in all")
    if quick:
        print(f"Left out by --quick: 2 of 3 separations, most bases, {len(ONE_CLOUD) - 3} guises, most runs.")
    print()
    for separation, part in planted_ones.groupby("separation", sort=False):
        short = (part["best"] - part["mixture"]).mean()
        near = ((part["best"] - part["mixture"]) <= 0.05).mean()
        print(f"ARI BELOW THE BEST, separation {separation:g}  {short:.3f}  ≤ .05  {_met(short <= 0.05)}")
        print(f"BASES WITHIN .05, separation {separation:g}  {near:.2f}  1  {_met(near == 1)}")
    for guise, (mixture, _) in counted.items():
        share = 1 - mixture / runs
        print(f"NO CLUSTERS, {guise}  {share:.2f}  ≥ .95  {_met(share >= 0.95)}")


def _met(is_met: bool) -> str:
    return "met" if is_met else "short"


if __name__ == "__main__":
    main("--quick" in sys.argv[1:], "--long" in sys.argv[1:])
