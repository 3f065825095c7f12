"""Pareto-smoothed importance sampling, in NumPy alone: the package that has it takes a second to import.

Vehtari, Simpson, Gelman, Yao & Gabry (2024), Pareto Smoothed Importance Sampling, JMLR 25(72); the fit of the tail:
Zhang & Stephens (2009), A New and Efficient Estimation Method for the Generalized Pareto Distribution, Technometrics
51(3).
"""

import numpy as np

PRIOR_SHAPE, PRIOR_DRAWS = 0.5, 10
"""What the shape is drawn towards, and how many draws of the tail that weighs."""


def smooth(log_ratios: np.ndarray) -> tuple[np.ndarray, float]:
    """Log-weights with the largest replaced by the order statistics of a generalised Pareto distribution, and k̂.

    Parameters
    ----------
    log_ratios
        (draws,) logarithms of target over proposal, finite.

    Returns
    -------
    tuple
        log-weights (draws,), relative to the largest ratio; k̂, the shape of their tail: infinite where no
        distribution could be fitted to it, in which case the weights are the ratios themselves.
    """
    log_weights, n = log_ratios - log_ratios.max(), len(log_ratios)
    number = int(min(n / 5, 3 * np.sqrt(n)))
    order = np.argsort(log_weights)
    tail, cutoff = order[n - number :], np.exp(log_weights[order[n - number - 1]])
    shape, scale = generalised_pareto(np.exp(log_weights[tail]) - cutoff)
    if not np.isfinite(shape):
        return log_weights, np.inf
    at = np.log1p(-(np.arange(number) + 0.5) / number)
    beyond = -scale * at if shape == 0 else scale * np.expm1(-shape * at) / shape
    log_weights[tail] = np.minimum(np.log(cutoff + beyond), 0.0)
    return log_weights, shape


def generalised_pareto(excesses: np.ndarray) -> tuple[float, float]:
    """Shape and scale of a generalised Pareto distribution, by Zhang & Stephens' estimate.

    Parameters
    ----------
    excesses
        (draws,) sorted, above 0.

    Returns
    -------
    tuple
        shape, drawn towards 0.5 as 10 further draws would; scale. Not numbers where the excesses do not vary.
    """
    n = len(excesses)
    points = 30 + int(np.sqrt(n))
    quartile = excesses[int(n / 4 + 0.5) - 1]
    if not quartile > excesses[0]:
        return float("nan"), float("nan")
    b = 1 / excesses[-1] + (1 - np.sqrt(points / (np.arange(points) + 0.5))) / (3 * quartile)
    shapes = np.log1p(-b[:, None] * excesses).mean(axis=1)
    profile = n * (np.log(-b / shapes) - shapes - 1)
    weights = np.exp(profile - profile.max())
    weights = np.where(weights >= 10 * np.finfo(float).eps * weights.sum(), weights, 0)
    best = (b * weights).sum() / weights.sum()
    shape = np.log1p(-best * excesses).mean()
    return float((n * shape + PRIOR_DRAWS * PRIOR_SHAPE) / (n + PRIOR_DRAWS)), float(-shape / best)
