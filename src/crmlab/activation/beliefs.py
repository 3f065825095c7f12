"""What is believed of a contact's response before the next one: by segment, from past contacts, with uncertainty."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from pydantic import Field

from crmlab.activation.believed import CONTROL, LEVEL, PRIOR, RESPONSE, UPLIFT, Beliefs, PriorResponse
from crmlab.activation.shrinkage import design_effect, effect_draws, next_campaign, rate_draws, stratified_difference
from crmlab.contract import Basis, Fault, Params, Refused, generator, mark


class BeliefParams(Params):
    """How past contacts become beliefs about the next one."""

    prior_response: PriorResponse = PriorResponse()
    """Beta prior of the mean response; all there is while no contact has been answered."""
    orders_per_response: float = Field(1.0, gt=0)
    """Additional orders a response stands for: an assumption, printed."""
    effect_spread: float = Field(0.05, ge=0)
    """Scale of the half-normal prior of the sd of uplifts between segments, in absolute rates."""
    campaign_spread: float = Field(0.3, ge=0)
    """Scale of the half-normal prior of the sd of log rates between campaigns; 0: campaigns are alike."""
    draws: int = Field(2000, ge=200)
    """Posterior draws kept."""


def beliefs(
    history: pd.DataFrame,
    membership: pd.Series,
    *,
    names: Mapping[str, str],
    randomised: bool,
    seed: int,
    cycle: str,
    params: BeliefParams,
) -> Beliefs:
    """Posterior of the response to a contact, and of its uplift where a random control group identifies it.

    Response: Beta-Binomial with an unknown population of segments (`shrinkage.rate_draws`). Uplift: the difference of
    proportions by segment, campaigns stratified, Normal-Normal over segments (`shrinkage.effect_draws`). Both are
    multiplied by the next campaign's factor (`shrinkage.next_campaign`), one draw for all segments, because campaigns
    differ and segments rise and fall with them. Several treated arms are pooled.

    Parameters
    ----------
    history
        Past contacts whose outcome window has closed: customer_id, campaign_id, arm, response (0/1) and segment (the
        segment now; where the column is absent it is looked up in `membership`). May be empty.
    membership
        Segment id of each customer, index customer_id.
    names
        Segment id → name; beliefs are held on each of these and on every segment of `membership`.
    randomised
        Whether arm ``control`` was withheld at random; otherwise its rows are not used, and nothing is called uplift.
    seed, cycle
        Of the study: they and nothing else decide the draws.
    """
    missing = [c for c in ("customer_id", "campaign_id", "arm", "response") if c not in history.columns]
    if missing:
        raise Refused("beliefs", [Fault("history", f"no column '{c}'") for c in missing])
    segments = sorted(set(names) | set(membership.dropna()))
    rows = history.assign(
        segment=history["segment"] if "segment" in history else history["customer_id"].map(membership)
    )
    rows = rows[rows["segment"].isin(segments)].sort_values(["campaign_id", "customer_id", "arm"])
    treated, control = rows[rows["arm"] != CONTROL], rows[rows["arm"] == CONTROL]
    if not randomised:
        control = control.iloc[:0]
    cells = _cells(treated, control, segments)
    kind = _kind(treated, cells)

    def rng(what: str) -> np.random.Generator:
        return generator(seed, "beliefs", what, cycle)

    prior, size = params.prior_response, params.draws
    y, n = cells["y_t"].sum(axis=1), cells["n_t"].sum(axis=1)
    inflation, spread = 1.0, (0.0, 0.0, 0.0)
    if kind == PRIOR:
        mean = rng("prior").beta(prior.mean * prior.strength, (1 - prior.mean) * prior.strength, size)
        response = effect = np.tile(mean, (len(segments), 1))
    else:
        inflation = _repeated(treated, pd.Series(y / np.maximum(n, 1), index=segments))
        level = rate_draws(
            y / inflation, n / inflation, mean=prior.mean, strength=prior.strength, draws=size, rng=rng("response")
        )
        expected = (cells["n_t"] * np.where(n > 0, y / np.maximum(n, 1), 0.0)[:, None]).sum(axis=0)
        factor, sigma = next_campaign(
            cells["y_t"].sum(axis=0), expected, scale=params.campaign_spread, draws=size, rng=rng("campaign")
        )
        spread = tuple(float(q) for q in np.quantile(sigma, [0.5, 0.05, 0.95]))
        response = effect = np.minimum(level * factor, 1.0)
        if kind == UPLIFT:
            pairs = [
                stratified_difference(*(cells[c][row] for c in ("y_t", "n_t", "y_c", "n_c")))
                for row in range(len(segments))
            ]
            d, v = np.array(pairs).T
            theta = effect_draws(d, v * inflation, scale=params.effect_spread, draws=size, rng=rng("uplift"))[0]
            effect = np.clip(theta * factor, -1.0, 1.0)
    index = pd.Index(segments, dtype="str", name="segment")
    return Beliefs(
        table=_table(index, names, treated, cells, response, effect, kind),
        basis=_basis(rows, kind),
        draws=pd.DataFrame(effect, index=index),
        response=pd.DataFrame(response, index=index),
        kind=kind,
        orders_per_response=params.orders_per_response,
        prior=prior,
        campaigns=int((cells["n_t"].sum(axis=0) > 0).sum()),
        campaign_spread=spread,
        design_effect=inflation,
    )


def _cells(treated: pd.DataFrame, control: pd.DataFrame, segments: list[str]) -> dict[str, np.ndarray]:
    """Responses and customers by segment × campaign, for the contacted (``_t``) and the control group (``_c``)."""
    campaigns = sorted(set(treated["campaign_id"]) | set(control["campaign_id"]))
    found = {}
    for arm, rows in (("t", treated), ("c", control)):
        grouped = rows.assign(response=rows["response"].astype("float64")).groupby(["segment", "campaign_id"])[
            "response"
        ]
        for name, values in (("y", grouped.sum()), ("n", grouped.count())):
            whole = pd.MultiIndex.from_product([segments, campaigns])
            cells = values.reindex(whole, fill_value=0).to_numpy(dtype=np.float64)
            found[f"{name}_{arm}"] = cells.reshape(len(segments), len(campaigns))
    return found


def _kind(treated: pd.DataFrame, cells: dict[str, np.ndarray]) -> str:
    if treated.empty:
        return PRIOR
    return UPLIFT if ((cells["n_t"] > 0) & (cells["n_c"] > 0)).any() else RESPONSE


def _repeated(treated: pd.DataFrame, rate: pd.Series) -> float:
    residual = treated["response"].to_numpy(dtype=np.float64) - treated["segment"].map(rate).to_numpy(dtype=np.float64)
    return design_effect(treated["customer_id"].to_numpy(dtype=object), residual)


def _table(index, names, treated, cells, response, effect, kind) -> pd.DataFrame:
    low, high = (1 - LEVEL) / 2, (1 + LEVEL) / 2
    known = kind == UPLIFT
    nothing = np.full(len(index), np.nan)
    return pd.DataFrame(
        {
            "segment": index,
            "name": [names.get(s, s) for s in index],
            "customers": treated.groupby("segment")["customer_id"]
            .nunique()
            .reindex(index, fill_value=0)
            .to_numpy("int64"),
            "contacts": cells["n_t"].sum(axis=1).astype("int64"),
            "responses": cells["y_t"].sum(axis=1).astype("int64"),
            "control": cells["n_c"].sum(axis=1).astype("int64"),
            "mean": response.mean(axis=1),
            "low": np.quantile(response, low, axis=1),
            "high": np.quantile(response, high, axis=1),
            "uplift": effect.mean(axis=1) if known else nothing,
            "uplift_low": np.quantile(effect, low, axis=1) if known else nothing,
            "uplift_high": np.quantile(effect, high, axis=1) if known else nothing,
            "p_positive": (effect > 0).mean(axis=1) if known else nothing,
        }
    ).astype({"segment": "str", "name": "str"})


def _basis(rows: pd.DataFrame, kind: str) -> Basis:
    start = end = None
    if len(rows) and "sent_at" in rows:
        start, end = rows["sent_at"].min().date(), rows["sent_at"].max().date()
    designs = {
        UPLIFT: mark("control group withheld at random"),
        RESPONSE: mark("response model, without a control group"),
        PRIOR: mark("declared prior, no data"),
    }
    return Basis(len(rows), mark("past contacts and controls"), start, end, designs[kind])
