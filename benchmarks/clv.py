"""Speed, memory and accuracy of CLV models against pymc-marketing; see README.md."""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
from peers import environment

from crmlab.base.history import history
from crmlab.base.orders import orders
from crmlab.clv.fitting.fit import fit
from crmlab.clv.models import bgnbd, gamma_gamma
from crmlab.clv.models.model import PurchaseModel
from crmlab.clv.models.registry import MODELS, model
from crmlab.clv.params import CLVParams
from crmlab.clv.value.predict import kept
from crmlab.contract import generator
from crmlab.data.intake import read
from crmlab.data.params import DataParams

HERE = Path(__file__).parent
CALIBRATION_END, VALIDATION_END, VALIDATION_WEEKS = date(1997, 9, 30), date(1998, 6, 30), 39
CAP = 900
"""Seconds after which a fit of the peer is stopped."""

FASTER, SAME, MAE, MILLION_CPU, MILLION_GB = 10, 3.0, 0.7545, 60, 2.0
NAMES = {"bgnbd": "BG/NBD", "pareto_nbd": "Pareto/NBD"}
NUTPIE = {"method": "mcmc", "sampler": {"nuts_sampler": "nutpie"}}
AS_IT_COMES = {"bgnbd": {"method": "mcmc", "sampler": {}}, "pareto_nbd": {"method": "demz", "sampler": {}}}


@dataclass
class Run:
    """What one process took, and its draws; `failed` says why there are none, or why they cannot be used."""

    label: str
    seconds: float = float("nan")
    cpu: float = float("nan")
    cpu_fit: float = float("nan")
    peak: float = float("nan")
    draws: dict[str, np.ndarray] = field(default_factory=dict)
    ess: dict[str, float] = field(default_factory=dict)
    fewest: float = float("nan")
    failed: str = ""


class Goals(list):
    """What was aimed at and reached: the last lines."""

    def add(self, name: str, figure: float, aim: float, *, least: bool, unit: str, bound: str = "") -> None:
        """One goal: its name, the figure reached, what was aimed at."""
        met = figure >= aim if least else figure <= aim
        verdict = "not measured" if np.isnan(figure) else "met" if met else "short"
        self.append(f"{name:<46} {bound}{figure:,.4g} {unit:<24} {'≥' if least else '≤'} {aim:g}  {verdict}")


def process(interpreter: str | Path, script: str, job: dict, folder: Path, cap: float) -> tuple[float, dict, str]:
    """Seconds from the start of a fresh process to what it is for, its report, and why there is none."""
    path, report = folder / "job.json", folder / "report.json"
    report.unlink(missing_ok=True)
    path.write_text(json.dumps(job | {"report": str(report), "draws": str(folder / "draws.npz"), "seed": 1}))
    quiet = {"PYTHONWARNINGS": "ignore"}
    begun = time.time()
    child = subprocess.Popen(
        [interpreter, HERE / script, path],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | quiet,
        start_new_session=True,
    )
    try:
        _, errors = child.communicate(timeout=cap)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        return cap, {}, f"did not finish in {cap:,.0f} s"
    if not report.exists():
        lines = errors.decode(errors="replace").strip().splitlines()
        return float("nan"), {}, f"failed: {lines[-1] if lines else 'no message'}"
    found = json.loads(report.read_text())
    return found["held"] - begun, found, ""


def ours(name: str, base: Path, folder: Path) -> Run:
    job = {"what": "posterior", "model": name, "history": str(base)}
    seconds, found, failed = process(sys.executable, "fresh.py", job, folder, CAP)
    if failed:
        return Run("crmlab", seconds, failed=failed)
    draws = dict(np.load(folder / "draws.npz"))
    label = f"crmlab, {found['method']}"
    cost = (seconds, found["cpu"], found["cpu_fit"], found["peak_kb"] / 1024)
    return Run(label, *cost, draws, found["ess"], found["fewest"], "" if found["passed"] else "failed its gate")


def theirs(interpreter: Path, name: str, base: Path, folder: Path, *, how: dict, priors: bool) -> Run:
    import arviz as az

    ways = "as it comes" if not priors else "nutpie, crmlab's priors"
    label = f"pymc-marketing, {ways}" + (" (DEMetropolisZ)" if how["method"] == "demz" else "")
    job = {"model": name, "history": str(base), "parameters": model(name).parameters, **how}
    job["priors"] = dict(model(name).priors) if priors else None
    seconds, found, failed = process(interpreter, "peers/marketing.py", job, folder, CAP)
    if failed:
        return Run(label, seconds, failed=failed)
    draws = dict(np.load(folder / "draws.npz"))
    ess = {k: float(az.ess(v, method="bulk")) for k, v in draws.items()}
    r_hat = max(float(az.rhat(v)) for v in draws.values())
    failed = f"its chains disagree: R-hat {r_hat:.3f}" if r_hat > CLVParams().r_hat else ""
    ends = [
        az.ess(v, method=m, **p) for v in draws.values() for m, p in (("bulk", {}), ("tail", {"prob": (0.05, 0.95)}))
    ]
    label = label.replace("pymc-marketing", f"pymc-marketing {found['version']}")
    cost = (seconds, found["cpu"], found["cpu_fit"], found["peak_kb"] / 1024)
    return Run(label, *cost, draws, ess, float(min(ends)), failed)


def line(run: Run) -> str:
    if run.failed and not run.draws:
        return f"  {run.label:<58} {run.failed}"
    number = next(iter(run.draws.values())).size
    return (
        f"  {run.label:<58}{run.seconds:>9.1f}{run.cpu:>9.1f}{run.cpu_fit:>9.1f}{number:>8,}{run.fewest:>10,.0f}"
        f"{run.fewest / run.cpu_fit:>12,.1f}{run.peak:>9,.0f}" + (f"   {run.failed}" if run.failed else "")
    )


HEAD = (
    f"  {'':<58}{'seconds':>9}{'CPU s':>9}{'its fit':>9}{'draws':>8}{'fewest':>10}{'fewest per':>12}{'peak':>9}\n"
    + (f"  {'':<58}{'to post.':>9}{'in all':>9}{'alone':>9}{'':>8}{'effective':>10}{'CPU s, fit':>12}{'MB':>9}")
)


def apart(one: Run, other: Run, *, errors: bool) -> dict[str, float]:
    """Differences of the means of log parameters, in Monte-Carlo standard errors or posterior standard deviations."""
    found = {}
    for name in one.draws:
        here, there = np.log(one.draws[name]), np.log(other.draws[name])
        difference, sd = here.mean() - there.mean(), (here.std(), there.std())
        error = np.sqrt(sd[0] ** 2 / one.ess[name] + sd[1] ** 2 / other.ess[name])
        found[name] = float(difference / (error if errors else sd[0]))
    return found


def compare(name: str, title: str, base: Path, few: Path, folder: Path, peers: list[dict], goals: Goals) -> None:
    """One model on one base, both sides; each way runs once before it is measured, the peer's on a few customers."""
    print(f"\n{NAMES[name]}, {title}: {len(pd.read_parquet(base, columns=['x'])):,} customers\n{HEAD}")
    ours(name, base, folder)
    mine = ours(name, base, folder)
    print(line(mine), flush=True)
    runs = []
    for peer in peers:
        theirs(base=few, name=name, folder=folder, **peer)
        runs.append(theirs(base=base, name=name, folder=folder, **peer))
        print(line(runs[-1]), flush=True)
    for peer, run in zip(peers, runs, strict=True):
        if not (run.draws and mine.draws):
            continue
        off = apart(mine, run, errors=peer["priors"])
        unit = "Monte-Carlo standard errors" if peer["priors"] else "posterior sd (other priors)"
        print(f"  mean logs, crmlab − {run.label}, in {unit}: " + "  ".join(f"{k} {v:+.2f}" for k, v in off.items()))
        if peer["priors"]:
            largest = max(abs(v) for v in off.values())
            goals.add(f"same posterior, {NAMES[name]}, {title}", largest, SAME, least=False, unit="MC errors at most")
    timed = [r for r in runs if np.isfinite(r.seconds) and not (r.draws and r.failed)]
    fastest = min(timed, key=lambda r: r.seconds, default=None)
    figure = fastest.seconds / mine.seconds if fastest and not mine.failed else float("nan")
    bound = "more than " if fastest and fastest.failed else ""
    goals.add(f"start to posterior, {NAMES[name]}, {title}", figure, FASTER, least=True, unit="times less", bound=bound)


def million(folder: Path, customers: int, goals: Goals) -> None:
    """BG/NBD and Gamma-Gamma, and every customer's CLV with its interval, in one fresh process."""
    rng = generator(1, "benchmark", "million")
    base = pd.DataFrame({"T": rng.integers(7, 104 * 7 + 1, customers) / 7})
    base = bgnbd.simulate({"r": 0.3, "alpha": 5.0, "a": 0.8, "b": 2.5}, base, rng)
    days = np.where(base["x"] > 0, np.maximum(np.ceil(base["t_x"] * 7), 1), 0)
    base = base.assign(t_x=days / 7, x=np.minimum(base["x"], days).astype(float))
    base = gamma_gamma.simulate({"p": 6.25, "q": 3.74, "gamma": 15.44}, base, rng)
    base.insert(0, "customer_id", [f"{i:07d}" for i in range(customers)])
    path = folder / "million.parquet"
    base.to_parquet(path)
    del base
    job = {"what": "value", "history": str(path)}
    seconds, found, failed = process(sys.executable, "fresh.py", job, folder, CAP)
    print(f"\nSimulated, {customers:,} customers by the day, 1 to 104 weeks: BG/NBD, Gamma-Gamma, CLV of each customer")
    if failed:
        print(f"  {failed}")
        return
    spent = "  ".join(f"{k} {v:.1f}" for k, v in found["parts"].items())
    print(f"  {seconds:.1f} s from start; {found['cpu']:.1f} CPU s ({spent}); peak {found['peak_kb'] / 2**20:.2f} GB")
    print(
        f"  {found['method']}, fewest effective draws {found['fewest']:,.0f}; {found['customers']:,} customers valued"
    )
    if customers == 1_000_000:
        goals.add("a million customers valued", found["cpu"], MILLION_CPU, least=False, unit="CPU s")
        goals.add("a million customers valued", found["peak_kb"] / 2**20, MILLION_GB, least=False, unit="GB peak")


def accuracy(base: pd.DataFrame, actual: np.ndarray, goals: Goals) -> None:
    """Mean absolute error a customer of the purchases expected in weeks 40–78."""
    print(f"\nCDNOW's sample, weeks 40–78: purchases expected of each customer; {actual.sum():,.0f} happened")
    errors = {}
    for name, chosen in MODELS.items():
        if not isinstance(chosen, PurchaseModel) or not set(chosen.columns) <= set(base.columns):
            continue
        found = fit(base, name, seed=1, name="benchmark", params=CLVParams())
        if not found.passed:
            print(f"  {chosen.title:<22} failed its gate")
            continue
        expected = chosen.expected_purchases(kept(found.draws, 100), base, VALIDATION_WEEKS)[0].mean(axis=1)
        errors[chosen.title] = float(np.abs(expected - actual).mean())
        reached = "reaches" if errors[chosen.title] <= MAE else "misses"
        print(
            f"  {chosen.title:<22} MAE {errors[chosen.title]:.4f}  {reached} {MAE}  total {expected.sum():,.0f}",
            flush=True,
        )
    best = min(errors, key=errors.__getitem__)
    goals.add(f"MAE on CDNOW's sample, best: {best}", errors[best], MAE, least=False, unit="purchases a customer")


def cdnow(*, sample: bool) -> tuple[pd.DataFrame, np.ndarray]:
    """The history of weeks 1–39, and each customer's purchases in weeks 40–78."""
    con = ibis.duckdb.connect()
    source = read(DataParams(source="cdnow", options={"sample": sample}), folder=Path(), con=con)
    made = con.create_table("orders", orders(source.tables["transactions"]))
    base = history(made, as_of=CALIBRATION_END)
    later = made.filter((made.date > CALIBRATION_END) & (made.date <= VALIDATION_END))
    counts = later.select("customer_id", "date").distinct().group_by("customer_id").agg(n=ibis._.count()).execute()
    return base, counts.set_index("customer_id")["n"].reindex(base["customer_id"], fill_value=0).to_numpy()


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--quick", action="store_true", help="under a minute; says what it leaves out")
    quick = asked.parse_args().quick
    goals = Goals()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bases = {"CDNOW's sample": cdnow(sample=True)} | ({} if quick else {"CDNOW in full": cdnow(sample=False)})
        paths = {title: folder / f"{i}.parquet" for i, title in enumerate(bases)}
        for title, (base, _) in bases.items():
            base.to_parquet(paths[title])
        few = folder / "few.parquet"
        bases["CDNOW's sample"][0].head(200).to_parquet(few)
        environment.compiled(sys.executable)
        interpreter, missing = environment.python("pymc-marketing", may_make=not quick)
        print("Every process is new, byte code is compiled on both sides, and each way of fitting has run once before.")
        print(
            f"{os.cpu_count()} cores. pymc-marketing in its default number of chains and draws; stopped after {CAP} s."
        )
        if quick:
            print(
                "Quick: CDNOW's sample alone, without the peer's Pareto/NBD and defaults; 50,000 simulated customers."
            )
        if missing:
            print(f"WITHOUT THE PEER: {missing}")
        for title, path in paths.items():
            for model_name in NAMES:
                peers = ways(model_name, path is paths["CDNOW's sample"], interpreter, quick)
                compare(model_name, title, path, few, folder, peers, goals)
        million(folder, 50_000 if quick else 1_000_000, goals)
        accuracy(*bases["CDNOW's sample"], goals)
    print("\n" + "\n".join(goals))
    return 0


def ways(name: str, sample: bool, interpreter: Path | None, quick: bool) -> list[dict]:
    """The peer's ways that are run: its default on the sample, or where that is its fastest; nutpie on both."""
    default = {"interpreter": interpreter, "how": AS_IT_COMES[name], "priors": False}
    fast = {"interpreter": interpreter, "how": NUTPIE, "priors": True}
    if interpreter is None:
        return []
    if quick:
        return [fast] if sample and name == "bgnbd" else []
    return [default, fast] if sample or name == "pareto_nbd" else [fast]


if __name__ == "__main__":
    sys.exit(main())
