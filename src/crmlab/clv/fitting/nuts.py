"""The reference fit: the paper's likelihood as a PyMC model, sampled by NUTS. Where importance sampling fails."""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from crmlab.clv.models.maths import pytensor_maths
from crmlab.clv.models.model import Arrays, Model
from crmlab.clv.params import CLVParams


def pymc_model(model: Model, data: Arrays, constants: dict[str, float]) -> Any:
    """The model of `data` (distinct rows with ``weight``) in PyMC; the data can be set anew."""
    import pymc as pm

    with pm.Model() as built:
        theta = {k: pm.Normal(k, mean, sd) for k, (mean, sd) in model.priors.items()}
        held = {k: pm.Data(k, v) for k, v in data.items()}
        relative = {k: pm.Data(k, np.float64(v)) for k, v in constants.items()}
        maths = pytensor_maths()
        rows = model.log_likelihood(model.natural(theta, relative, maths), held, maths)
        pm.Potential("log_likelihood", (held["weight"] * rows).sum())
    return built


def sample_nuts(
    model: Model,
    history: pd.DataFrame,
    start: tuple[np.ndarray, np.ndarray],
    rng: np.random.Generator,
    params: CLVParams,
) -> tuple[np.ndarray, int]:
    """Draws of the coordinates, (chains, draws, coordinates), and the number of divergences.

    No draws where the chains find no place to start from.

    Parameters
    ----------
    model, history
        What is fitted to what.
    start
        Centre (k,) and covariance (k, k) around which the chains start; its covariance is their mass matrix.
    rng, params
        Where the seed comes from; chains, steps and acceptance.
    """
    import pymc as pm
    from pymc.step_methods.hmc.quadpotential import QuadPotentialFull

    constants = model.constants(history)
    built = _compiled(model, tuple(constants))
    pm.set_data(model.collapsed(history) | constants, model=built)
    names = list(model.priors)
    centre, covariance = start
    starts = centre + rng.normal(size=(params.chains, len(names))) @ np.linalg.cholesky(covariance).T
    points = [{n: np.asarray(v) for n, v in zip(names, at, strict=True)} for at in starts]
    with built:
        step = pm.NUTS(
            potential=QuadPotentialFull(covariance), target_accept=params.target_accept, initial_point=points[0]
        )
        try:
            tree = pm.sample(
                draws=params.draws,
                tune=params.tune,
                chains=params.chains,
                cores=1,
                step=step,
                initvals=points,
                nuts_sampler="pymc",
                random_seed=int(rng.integers(2**31)),
                progressbar=False,
                quiet=True,
                compute_convergence_checks=False,
            )
        except pm.exceptions.SamplingError:
            return np.empty((params.chains, 0, len(names))), 0
    theta = np.stack([np.asarray(tree["posterior"][n].values, dtype=float) for n in names], axis=-1)
    return theta, int(np.asarray(tree["sample_stats"]["diverging"].values).sum())


@cache
def _compiled(model: Model, relative: tuple[str, ...]) -> Any:
    """The PyMC model, built once a process on placeholders: data are set before each use."""
    columns = (*model.columns, "weight")
    return pymc_model(model, {c: np.ones(2) for c in columns}, dict.fromkeys(relative, 0.0))
