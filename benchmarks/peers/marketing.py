"""One fit by pymc-marketing in a process of its own: reads a history, writes posterior draws and what it took.

Run in the peer's environment: ``python marketing.py job.json``; see ``benchmarks/clv.py`` for what a job says.
"""

import json
import os
import sys
import time
from pathlib import Path


def cpu() -> float:
    """CPU seconds of this process and of those it has waited for."""
    return sum(os.times()[:4])


def same_priors(model: str, priors: dict) -> dict:
    """The other side's priors as pymc-marketing's configuration.

    A coordinate is Normal; parameters that share one (alpha = r / rate) are made by a factory, which the configuration
    takes wherever it takes a prior.
    """
    import pymc as pm
    from pymc_extras.prior import Prior

    class Together:
        """Deterministic function of Normal coordinates, each made once a model."""

        dims = ()

        def __init__(self, *names, of):
            self.names, self.of = names, of

        def create_variable(self, name):
            made = pm.modelcontext(None).named_vars
            theta = [made[n] if n in made else pm.Normal(n, *priors[n]) for n in self.names]
            return pm.Deterministic(name, self.of(*theta))

    def exp(name):
        return Together(name, of=pm.math.exp)

    def ratio(above, below):
        return Together(above, below, of=lambda u, v: pm.math.exp(u - v))

    if model == "bgnbd":
        phi, kappa = priors["logit_phi"], priors["log_kappa"]
        return {
            "r": exp("log_r"),
            "alpha": ratio("log_r", "log_rate"),
            "phi_dropout": Prior("LogitNormal", mu=phi[0], sigma=phi[1]),
            "kappa_dropout": Prior("LogNormal", mu=kappa[0], sigma=kappa[1]),
        }

    def s(variation):
        return pm.math.softplus(variation) ** -2.0

    def beta(log_h, variation):
        return 1e-3 + 26 / pm.math.expm1(pm.math.minimum(pm.math.exp(log_h) / s(variation), 600.0))

    return {
        "r": exp("log_r"),
        "alpha": ratio("log_r", "log_rate"),
        "s": Together("variation", of=s),
        "beta": Together("log_h", "variation", of=beta),
    }


def main(job: dict) -> dict:
    import logging
    import warnings

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    import numpy as np
    import pandas as pd
    import pymc_marketing
    from pymc_marketing.clv import BetaGeoModel, ParetoNBDModel

    history = pd.read_parquet(job["history"]).rename(columns={"x": "frequency", "t_x": "recency"})
    imported = cpu()
    kind = {"bgnbd": BetaGeoModel, "pareto_nbd": ParetoNBDModel}[job["model"]]
    config = same_priors(job["model"], job["priors"]) if job["priors"] else None
    model = kind(model_config=config)
    tree = model.fit(data=history, method=job["method"], random_seed=job["seed"], progressbar=False, **job["sampler"])
    posterior = {name: np.asarray(tree["posterior"][name].values, dtype=float) for name in job["parameters"]}
    held = time.time()
    np.savez(job["draws"], **posterior)
    spent = {"cpu": cpu(), "cpu_fit": cpu() - imported}
    return spent | {"held": held, "version": pymc_marketing.__version__}


if __name__ == "__main__":
    job = json.loads(Path(sys.argv[1]).read_text())
    done = main(job)
    import resource

    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    Path(job["report"]).write_text(json.dumps(done | {"peak_kb": max(peaks)}))
