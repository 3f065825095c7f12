"""Traits brought to one scale by frozen monotone transforms, which new customers meet unchanged."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from crmlab.segments.mixture.em import Rows, fit

FURTHEST = 5.0
"""Scaled values end here: one customer far away is nobody's class."""
DIGITS = 12
QUANTILES = 200
BUMPS = (1, 2, 3)


@dataclass(frozen=True)
class Scale:
    """value → clip((T((value − centre) / unit) − mean) / sd, ±5), T of Yeo and Johnson [2000], identity at λ = 1."""

    centre: float
    unit: float
    power: float
    mean: float
    sd: float

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Scaled values, missing where missing; rising with the values."""
        inner = np.clip((values - self.centre) / self.unit, -1e12, 1e12)
        return np.clip((yeo_johnson(inner, self.power) - self.mean) / self.sd, -FURTHEST, FURTHEST)


def yeo_johnson(values: np.ndarray, power: float) -> np.ndarray:
    """The transform of Yeo and Johnson [2000], equation 2.1."""
    up, down = np.maximum(values, 0), np.maximum(-values, 0)
    rising = np.log1p(up) if abs(power) < 1e-6 else np.expm1(power * np.log1p(up)) / power
    falling = np.log1p(down) if abs(2 - power) < 1e-6 else np.expm1((2 - power) * np.log1p(down)) / (2 - power)
    return rising - falling


def fitted_scale(values: np.ndarray) -> Scale:
    """The scale of one trait.

    Values are bent (by the likeliest power, or towards the logarithm) only where up to three Gaussian bumps then
    describe them better than as they are: a skewed cloud is bent, separate groups are left alone.

    Parameters
    ----------
    values
        float64, shape (n,), at least two distinct finite values; NaN is missing.
    """
    known = np.sort(values[np.isfinite(values)])
    low, high = np.quantile(known, [0.01, 0.99], method="closest_observation")
    if low == high:  # all but a few are equal
        low, high = known[0], known[-1]
    inside = np.clip(known, low, high)
    spread = float(inside.std())
    places = [(float(np.median(inside)), spread), (float(low), spread)]
    if low > 0:
        places.append((0.0, float(low) / 10))
    best, at = -np.inf, (0.0, 1.0, 1.0)
    for i, (centre, unit) in enumerate(places):
        sample = (np.quantile(inside, (np.arange(QUANTILES) + 0.5) / QUANTILES) - centre) / unit
        for power in (1.0, _likeliest_power(sample)) if i == 0 else (_likeliest_power(sample),):
            told = _bumps(yeo_johnson(sample, power), len(known)) + _log_slope(sample, power) - np.log(unit)
            if told > best + 0.01:  # nats a customer; as they are where it is all one
                best, at = told, (centre, unit, power)
    centre, unit, power = map(_digits, at)
    bent = yeo_johnson((inside - centre) / unit, power)
    return Scale(centre, unit, power, _digits(float(bent.mean())), _digits(max(float(bent.std()), 1e-9)))


def _bumps(values: np.ndarray, n: int) -> float:
    """Log likelihood a value of the best of one to three Gaussian bumps, by BIC at `n` values."""
    spread = max(float(values.std()), 1e-12)
    rows = Rows.of(((values - values.mean()) / spread)[:, None])
    scores = []
    for k in BUMPS:
        start = np.eye(k)[np.minimum(np.arange(len(values)) * k // len(values), k - 1)]
        found = fit(rows, start, "diagonal", most_steps=60, enough=1e-5)
        scores.append(found.log_likelihood - (3 * k - 1) * np.log(n) / (2 * n))
    return max(scores) - float(np.log(spread))


def _likeliest_power(values: np.ndarray) -> float:
    """The power under which the bent values are likeliest from one normal distribution."""

    def against(power: float) -> float:
        return 0.5 * float(np.log(max(yeo_johnson(values, power).var(), 1e-300))) - _log_slope(values, power)

    return float(minimize_scalar(against, bounds=(-1.0, 2.0), method="bounded", options={"xatol": 1e-3}).x)


def _log_slope(values: np.ndarray, power: float) -> float:
    """Mean log derivative of the transform."""
    return float((power - 1) * np.mean(np.sign(values) * np.log1p(np.abs(values))))


def _digits(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
