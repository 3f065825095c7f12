"""Simulation-based calibration of every registered model by its default fit; see README.md."""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import numpy as np
import pandas as pd

from crmlab.clv.fitting.calibration import calibrate, joint_p
from crmlab.clv.models.registry import MODELS
from crmlab.clv.params import CLVParams

FULL, QUICK = 500, 10
CUSTOMERS, SEED, LEVEL = 300, 20261122, 0.01
PARTS = 5
"""A model's sets are drawn in as many parts, so that all cores have work to the end."""


def part(job: tuple[str, int, int]) -> pd.DataFrame:
    name, sets, number = job
    with np.errstate(all="ignore"):
        return calibrate(MODELS[name], sets=sets, customers=CUSTOMERS, seed=SEED + number, params=CLVParams())


def said(name: str, found: pd.DataFrame) -> str:
    """One line a model: what became of its data sets, each quantity's own p-value, and the joint one."""
    counts = found["outcome"].value_counts()
    ways = "  ".join(f"{int(counts.get(way, 0)):>6}" for way in ("importance sampling", "NUTS", "too little", "failed"))
    quantities = found.columns.drop(["set", "outcome"])
    alone = "  ".join(f"{q} {joint_p(found[[q]]):.3f}" for q in quantities)
    return f"{name:<22}{len(found):>5}  {ways}  {joint_p(found):>9.4f}   {alone}"


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("models", nargs="*", help="all registered models by default")
    asked.add_argument("--quick", action="store_true", help=f"{QUICK} data sets a model in place of {FULL}")
    args = asked.parse_args()
    names = args.models or list(MODELS)
    sets = QUICK if args.quick else FULL
    if args.quick:
        print(f"Quick: {QUICK} data sets a model in place of {FULL}; only gross faults are seen.")
    print(f"{CUSTOMERS} customers a data set, watched for 1 to 52 weeks.")
    print("                               fitted by      no fit: gate            p of ranks being uniform")
    print("model                   sets    imp.    NUTS  little  failed    joint p   each alone")
    found: dict[str, list[pd.DataFrame]] = {name: [] for name in names}
    verdicts = {}
    jobs = [(name, sets // PARTS, number) for name in names for number in range(PARTS)]
    with ProcessPoolExecutor() as pool:
        for (name, *_), ranks in zip(jobs, pool.map(part, jobs), strict=True):
            found[name].append(ranks)
            if len(found[name]) == PARTS:
                table = pd.concat(found[name], ignore_index=True)
                verdicts[name] = joint_p(table)
                print(said(name, table), flush=True)
    print()
    for name, p in verdicts.items():
        print(f"calibrated, {name:<22}  p {p:.4f}  at least {LEVEL}  {'met' if p >= LEVEL else 'short'}")
    return 0 if min(verdicts.values()) >= LEVEL else 1


if __name__ == "__main__":
    sys.exit(main())
