"""Beta-discrete-Weibull (BdW): the sBG whose subscribers may grow more, or less, loyal with tenure.

Fader, Hardie, Liu, Davin & Steenburgh (2018), "How to Project Customer Retention" Revisited: The Role of Duration
Dependence, Journal of Interactive Marketing 43, 1–16.

A subscriber survives t renewals with probability (1−θ)^{t^c}, θ ~ Beta(α, β): with c > 1 everybody leaves more easily
the longer they stayed, with c < 1 less easily, with c = 1 it is the sBG. Data and the rest as in
`crmlab.clv.models.sbg`.

A retention curve tells unlikeness and duration dependence apart only late: much the same early curve is had from unlike
subscribers with a large c and from like ones with a small c. Along that ridge c₀ = c/(1 + 1.5/κ) hardly moves, so it,
not c, is the third coordinate: the exponent one would see were all subscribers alike.

Priors, by what they say of subscribers before any data (unit: a period):

==========================  ==================  =========================================================
coordinate                  Normal(mean, sd)    in words: median (95 %)
==========================  ==================  =========================================================
logit φ, φ = α/(α+β)        (−1.5, 1.5)         18 % leave at the first renewal (1 % to 81 %)
log κ, κ = α+β              (1, 1.25)           subscribers are as unlike as κ = 2.7 says (0.2 to 31)
log c₀                      (−0.45, 0.5)        retention rises with tenure: exponent 0.64 (0.24 to 1.7)
==========================  ==================  =========================================================

That makes c 1.1 (0.3 to 6). The maximum-likelihood estimates of the paper's two bases lie within 1 sd of each mean.
"""

from typing import Any

from crmlab.clv.models import sbg
from crmlab.clv.models.maths import NUMPY
from crmlab.clv.models.model import ContractModel, Values

RIDGE = 1.5


def natural(theta: Values, constants: Values, xp: Any = NUMPY) -> dict:
    """α, β, c from the unconstrained coordinates."""
    kappa = xp.exp(theta["log_kappa"])
    return sbg.natural(theta, constants, xp) | {"c": xp.exp(theta["log_c0"]) * (1 + RIDGE / kappa)}


def log_likelihood(parameters: Values, data: Values, xp: Any = NUMPY) -> Any:
    """Log-likelihood of each contract: P(T = t) = S(t−1) − S(t), S(t) = B(α, β+t^c)/B(α, β); divided by S(since).

    Parameters
    ----------
    parameters
        alpha, beta, c > 0: numbers, or one value a row.
    data
        periods, ended, since: (rows,).
    """
    alpha, beta, c = (parameters[name] for name in ("alpha", "beta", "c"))
    t, ended = data["periods"], data["ended"]

    def survived(periods: Any) -> Any:
        clock = xp.where(periods > 0, xp.exp(c * xp.log(xp.maximum(periods, 1))), 0.0)
        return xp.betaln(alpha, beta + clock)

    before, after = survived(xp.maximum(t - 1, 0)), survived(t)
    leaving = before + xp.log(-xp.expm1(xp.minimum(after - before, -1e-300)))
    return xp.where(ended > 0, leaving, after) - survived(data["since"])


MODEL = ContractModel(
    name="bdw",
    title="BdW",
    source="Fader, Hardie, Liu, Davin & Steenburgh 2018",
    parameters=("alpha", "beta", "c"),
    priors={"logit_phi": (-1.5, 1.5), "log_kappa": (1.0, 1.25), "log_c0": (-0.45, 0.5)},
    natural=natural,
    columns=sbg.COLUMNS,
    faults=sbg.faults,
    rows=sbg.rows,
    log_likelihood=log_likelihood,
    simulate=sbg.simulate,
    survival=sbg.survival,
    expected_renewals=sbg.expected_renewals,
    dropout_scale=(("alpha", 1), ("beta", -1)),
)
