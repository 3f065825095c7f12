"""Purchases at every k-th of stages that pass at random: what Erlang-k times between purchases are made of.

Stages pass at rate λ ~ Gamma(n, scale), so that the number of them in s weeks is negative binomial.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from scipy.special import gammaln

TOLERANCE = 1e-11
TINY = 1e-200


def between(k: int, n: Any, share: Any) -> Any:
    """Σ_{m<k} Γ(n+m)/(Γ(n) m!) share^m: fewer than k stages have passed since the last purchase.

    With λ ~ Gamma(n, α + T) and share = (T−t_x)/(α+T), each term is the weight of m stages passed since t_x, that of
    none being 1. Numbers, arrays or PyTensor variables; 1.0 for k = 1.
    """
    total = 1.0
    for m in range(k - 1, 0, -1):
        total = 1 + (n + m - 1) * share / m * total
    return total


def purchases_by(
    k: int, s: float, *, n: np.ndarray, scale: np.ndarray, gap: np.ndarray, a: np.ndarray, b: np.ndarray
) -> np.ndarray:
    """Purchases expected within s weeks of a customer who has not left, times `between`.

    Let q = s/(scale+s), and N ~ NB(n, q) the stages passed in s weeks. That fewer than k have passed in the gap since
    the last purchase makes N stages since then more likely by Σ_{m<k} C(N, m) (gap/s)^m, over `between`. They make
    ⌊N/k⌋ purchases of one who would never leave, of which Σ_{j<⌊N/k⌋} E[(1−p)^j] are expected, p ~ Beta(a, b). The sum
    over N ends where the rest of it is below `TOLERANCE` of the whole.

    Parameters
    ----------
    k
        Stages from one purchase to the next.
    s
        Weeks.
    n, scale, a, b
        Of the distributions of λ and p; scale in weeks. Each (customers or 1, draws).
    gap
        Weeks since the last purchase, (customers, 1).

    Returns
    -------
    numpy.ndarray
        (customers, draws).
    """
    n, a, b, scale, _ = np.broadcast_arrays(n, a, b, scale, gap)
    if s == 0:
        return np.zeros(n.shape)
    q, stop, both = s / (scale + s), n * np.log1p(s / scale), a + b
    nq, pmf = n * q, np.exp(-stop)
    step, passed = gap / s, [np.ones_like(gap), *(np.zeros_like(gap) for _ in range(k - 1))]
    total, made, still = np.zeros(n.shape), np.zeros(n.shape), np.ones(n.shape)
    result, going, N = np.zeros(n.shape), np.arange(len(n)), 0
    while len(going):
        for _ in range(8 * k):
            total += pmf * sum(passed) * made
            pmf = pmf * (nq + N * q) / (N + 1)
            passed = _one_more(passed, step)
            N += 1
            if N % k == 0:
                made = made + still
                still = still * ((b + (N // k - 1)) / (both + (N // k - 1)))
        lost = pmf < TINY
        if lost.any():
            exact = gammaln(n[lost] + N) - gammaln(n[lost]) - gammaln(N + 1) + N * np.log(q[lost]) - stop[lost]
            pmf[lost] = np.exp(exact)
        growth = sum(_one_more(passed, step)) / sum(passed)
        ratio = np.maximum((nq + N * q) / (N + 1) * growth, q) * (1 + 1 / N)
        on = ((ratio >= 1) | (pmf * sum(passed) * made > TOLERANCE * (1 - ratio) * total)).any(axis=1)
        if not on.all():
            result[going[~on]] = total[~on]
            going, step, passed = going[on], step[on], [v[on] for v in passed]
            n, q, nq, stop, b, both = (v[on] for v in (n, q, nq, stop, b, both))
            pmf, total, made, still = (v[on] for v in (pmf, total, made, still))
    return result


def _one_more(passed: list[np.ndarray], step: np.ndarray) -> list[np.ndarray]:
    """C(N+1, m) step^m for each m < k from C(N, m) step^m."""
    return [passed[0], *(here + step * before for before, here in pairwise(passed))]
