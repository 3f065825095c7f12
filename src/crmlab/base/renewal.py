"""A renewal model of purchases: gamma gaps, rates that differ between customers, and customers who leave unseen.

Gaps of a customer are Gamma(k, λ); λ over customers is Gamma(r, α); after each purchase a customer leaves with a
probability that is Beta(a, b) over customers. It is the MBG/CNBD-k of Platzer & Reutterer (2016) with any shape k > 0
in place of a whole one, and, because every gap is seen here, in closed form: given n ended gaps that add up to s,
λ is Gamma(r + kn, A), A = α + s, and the next gap over A is beta prime, so that it is longer than c with probability
S(c) = 1 − I_{c/(c+A)}(k, r + kn).

Days are whole: a gap of g days is a gap that lies between g − 1 and g. Its likelihood, ∫ x^{k−1} e^{−λx} dx over that
day, is taken as (g^k − (g − 1)^k)/k · e^{−λ(g − ½)}, which for purchases at random (k = 1) is that of days, the
geometric, but for a factor of 1 + λ²/24. The first part knows no customer, so that one count of gaps by length serves
for all. Where customers buy on most days, k comes out up to an eighth too high.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import betainc, betaincc, betainccinv, betaincinv, betaln, expit, gammaln, logit, ndtri

LIMITS = ((-3.0, 5.0), (-4.0, 7.0), (-6.0, 16.0), (-9.0, 5.0), (-3.0, 6.0))
"""Of log k, log r, log α, logit a/(a + b), log(a + b)."""
SPREAD = (1.0, 1.5, 3.0, 1.5, 1.0)
"""Standard deviations of the normal priors of the same; means: 0, 0, log of the mean gap, −2, log 5."""
NEGLIGIBLE = 1e-3
"""Survival below this is inverted from its own side."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """The model's parameters, and the standard errors of the five that were searched (`LIMITS`)."""

    k: float
    r: float
    alpha: float
    a: float
    b: float
    errors: tuple[float, ...] = (np.nan,) * 5

    @property
    def leaving(self) -> float:
        """Mean probability of leaving after a purchase."""
        return self.a / (self.a + self.b)

    def table(self) -> pd.DataFrame:
        """parameter, value, low, high (90 %): shape of the gaps, spread of the rates, leaving after a purchase."""
        at = self._searched()
        half = float(ndtri(0.95)) * np.array(self.errors)
        back = (np.exp, np.exp, np.exp, expit, np.exp)
        rows = [
            (name, float(f(x)), float(f(x - h)), float(f(x + h)))
            for name, f, x, h in zip(("k", "r", "alpha", "leaving", "a + b"), back, at, half, strict=True)
        ]
        return pd.DataFrame(rows, columns=["parameter", "value", "low", "high"])

    def _searched(self) -> np.ndarray:
        return np.array(
            [np.log(self.k), np.log(self.r), np.log(self.alpha), logit(self.leaving), np.log(self.a + self.b)]
        )


def _renewal(at: np.ndarray) -> Renewal:
    k, r, alpha, size = np.exp(at[[0, 1, 2, 4]])
    left = expit(at[3])
    return Renewal(float(k), float(r), float(alpha), float(left * size), float((1 - left) * size))


def log_likelihood(model: Renewal, each: pd.DataFrame, lengths: pd.Series) -> float:
    """Log-likelihood of customers' gaps and of the silence since.

    Parameters
    ----------
    model
        The parameters.
    each
        One row a customer: n (ended gaps), waited (their sum, half a day less each), open (days since the last
        purchase).
    lengths
        How many of these gaps are of each length: index days, from 1.
    """
    n, k, r, a, b = each["n"].to_numpy(dtype="float64"), model.k, model.r, model.a, model.b
    days = lengths.index.to_numpy(dtype="float64")
    # log((g^k − (g − 1)^k)/k), so that no power overflows
    gaps = k * np.log(days) + np.log(-np.expm1(k * np.log1p(-1 / np.maximum(days, 1.5)))) * (days > 1) - np.log(k)
    shape, scale = r + k * n, model.alpha + each["waited"].to_numpy()
    rates = gammaln(shape) - gammaln(r) + r * np.log(model.alpha) - shape * np.log(scale)
    left = a / (a + b + n)
    silent = left + (1 - left) * _waiting(model, n, scale, each["open"].to_numpy(dtype="float64"))
    stayed = betaln(a, b + n) - betaln(a, b)
    whole = lengths.to_numpy() @ gaps - gammaln(k) * n.sum()
    return float(whole + (rates + stayed + np.log(np.maximum(silent, 1e-300))).sum())


def fit(each: pd.DataFrame, lengths: pd.Series) -> Renewal:
    """The posterior mode, under priors that matter only where there are few customers, with standard errors.

    Parameters
    ----------
    each, lengths
        As for `log_likelihood`; at least one gap has ended.
    """
    gap = each["waited"].sum() / each["n"].sum()
    centre = np.array([0.0, 0.0, np.log(gap), -2.0, np.log(5.0)])

    def loss(at: np.ndarray) -> float:
        return -log_likelihood(_renewal(at), each, lengths) + 0.5 * float((((at - centre) / SPREAD) ** 2).sum())

    at = minimize(loss, centre, method="L-BFGS-B", bounds=LIMITS, options={"ftol": 1e-10}).x
    return replace(_renewal(np.round(at, 9)), errors=_errors(loss, at))


def _errors(loss, at: np.ndarray, step: float = 1e-3) -> tuple[float, ...]:
    """Standard errors from the curvature of the loss, by central differences."""
    size = len(at)
    steps = np.eye(size) * step
    curve = np.empty((size, size))
    for i in range(size):
        for j in range(i, size):
            signs = ((1, 1), (1, -1), (-1, 1), (-1, -1))
            four = [s * t * loss(at + s * steps[i] + t * steps[j]) for s, t in signs]
            curve[i, j] = curve[j, i] = sum(four) / (4 * step**2)
    values, vectors = np.linalg.eigh(curve)
    spread = (vectors**2 / np.maximum(values, 1e-6)).sum(axis=1)
    return tuple(float(e) for e in np.sqrt(spread))


def _waiting(model: Renewal, n: np.ndarray, scale: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Probability that the next gap is longer than `days`: S of the module's first lines."""
    shape = model.r + model.k * n
    used = betainc(model.k, shape, days / (days + scale))
    low = used > 1 - NEGLIGIBLE
    waiting = 1 - used
    if low.any():
        waiting[low] = betaincc(model.k, shape[low], (days / (days + scale))[low])
    return waiting


@dataclass(frozen=True)
class Expected:
    """What the model says of each customer; arrays of one length."""

    model: Renewal
    n: np.ndarray
    scale: np.ndarray
    open: np.ndarray
    waiting: np.ndarray
    """Share of the customer's gaps that are longer than the open one."""
    still: np.ndarray
    """Probability of being a customer still, given the silence."""

    def within(self, days: np.ndarray | float) -> np.ndarray:
        """Probability that a customer who has not left buys within so many days."""
        later = _waiting(self.model, self.n, self.scale, self.open + days)
        return 1 - np.divide(later, self.waiting, out=np.zeros_like(later), where=self.waiting > 0)

    def quantile(self, share: float) -> np.ndarray:
        """Days by which the next purchase has come with probability `share`, if the customer has not left."""
        return self._longer(self.waiting * (1 - share)) - self.open

    def gap(self, share: float) -> np.ndarray:
        """Days within which `share` of the customer's gaps end."""
        return self._longer(np.full(len(self.n), 1 - share))

    def _longer(self, waiting: np.ndarray) -> np.ndarray:
        """The gap that is exceeded with probability `waiting`; infinite where that is beyond reckoning."""
        shape = self.model.r + self.model.k * self.n
        low = waiting < NEGLIGIBLE
        part = np.empty(len(shape))
        part[~low] = betaincinv(self.model.k, shape[~low], 1 - waiting[~low])
        part[low] = betainccinv(self.model.k, shape[low], waiting[low])
        with np.errstate(divide="ignore"):
            return self.scale * part / (1 - part)


def expected(model: Renewal, each: pd.DataFrame) -> Expected:
    """What the model says of customers with such gaps (columns as for `log_likelihood`)."""
    n, opened = (each[c].to_numpy(dtype="float64") for c in ("n", "open"))
    scale = model.alpha + each["waited"].to_numpy()
    waiting = _waiting(model, n, scale, opened)
    left = model.a / (model.a + model.b + n)
    still = (1 - left) * waiting / (left + (1 - left) * waiting)
    return Expected(model, n, scale, opened, waiting, still)
