"""The functions a log-likelihood is written in: the same names in NumPy and in PyTensor."""

from types import SimpleNamespace

import numpy as np
from scipy import special


def _softplus(v: np.ndarray) -> np.ndarray:
    return np.maximum(v, 0) + np.log1p(np.exp(-np.abs(v)))


NUMPY = SimpleNamespace(
    exp=np.exp,
    log=np.log,
    log1p=np.log1p,
    expm1=np.expm1,
    sqrt=np.sqrt,
    abs=np.abs,
    where=np.where,
    maximum=np.maximum,
    minimum=np.minimum,
    sum=np.sum,
    max=np.max,
    arange=np.arange,
    logaddexp=np.logaddexp,
    softplus=_softplus,
    gammaln=special.gammaln,
    betaln=special.betaln,
    betainc=special.betainc,
)


def pytensor_maths() -> SimpleNamespace:
    """The names of `NUMPY` in PyTensor."""
    import pytensor.tensor as pt

    return SimpleNamespace(
        exp=pt.exp,
        log=pt.log,
        log1p=pt.log1p,
        expm1=pt.expm1,
        sqrt=pt.sqrt,
        abs=pt.abs,
        where=pt.where,
        maximum=pt.maximum,
        minimum=pt.minimum,
        sum=pt.sum,
        max=pt.max,
        arange=pt.arange,
        logaddexp=pt.logaddexp,
        softplus=pt.softplus,
        gammaln=pt.gammaln,
        betaln=lambda a, b: pt.gammaln(a) + pt.gammaln(b) - pt.gammaln(a + b),
        betainc=pt.betainc,
    )
