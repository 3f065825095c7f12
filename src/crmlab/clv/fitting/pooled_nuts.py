"""The reference of partial pooling: segments that share a common distribution, in PyMC, sampled by NUTS."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from crmlab.clv.fitting.expansion import prior_of
from crmlab.clv.fitting.pooling import Chains
from crmlab.clv.models.maths import pytensor_maths
from crmlab.clv.models.model import Model
from crmlab.clv.params import CLVParams


def sample_pooled_nuts(
    model: Model,
    histories: Sequence[pd.DataFrame],
    constants: dict[str, float],
    rng: np.random.Generator,
    params: CLVParams,
) -> Chains:
    """The same posterior as that of `crmlab.clv.fitting.pooling.gibbs`, non-centred: theta = mu + tau · z."""
    import pymc as pm

    prior, names = prior_of(model), list(model.priors)
    parts = [model.collapsed(h) for h in histories]
    where = np.repeat(np.arange(len(parts)), [len(part["weight"]) for part in parts])
    data = {column: np.concatenate([part[column] for part in parts]) for column in parts[0]}
    maths = pytensor_maths()
    with pm.Model():
        mu = pm.Normal("mu", prior.mean, prior.sd, shape=len(names))
        tau = pm.HalfNormal("tau", prior.spread, shape=len(names))
        z = pm.Normal("z", shape=(len(parts), len(names)))
        theta = pm.Deterministic("theta", mu + tau * z)
        rows = model.natural({name: theta[where, k] for k, name in enumerate(names)}, constants, maths)
        pm.Potential("log_likelihood", (data["weight"] * model.log_likelihood(rows, data, maths)).sum())
        tree = pm.sample(
            draws=params.draws,
            tune=params.tune,
            chains=params.chains,
            cores=1,
            target_accept=params.target_accept,
            nuts_sampler="pymc",
            random_seed=int(rng.integers(2**31)),
            progressbar=False,
            quiet=True,
            compute_convergence_checks=False,
        )
    mu, tau, theta = (np.asarray(tree["posterior"][name].values, dtype=float) for name in ("mu", "tau", "theta"))
    divergences = int(np.asarray(tree["sample_stats"]["diverging"].values).sum())
    return Chains(mu, tau, theta, np.array([np.nan]), divergences)
