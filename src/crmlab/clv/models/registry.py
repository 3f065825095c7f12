"""The models this room can fit: a new one is a file that ends in `MODEL`, and one line here."""

from crmlab.clv.models import bdw, bgbb, bgnbd, gamma_gamma, gamma_gamma_frequency, mbg_cnbd, pareto_nbd, sbg
from crmlab.clv.models.model import Model, SpendModel
from crmlab.contract import Refused

MODELS: dict[str, Model] = {
    m.name: m
    for m in (
        bgnbd.MODEL,
        *mbg_cnbd.MODELS,
        pareto_nbd.MODEL,
        bgbb.MODEL,
        gamma_gamma.MODEL,
        gamma_gamma_frequency.MODEL,
        sbg.MODEL,
        bdw.MODEL,
    )
}

FAMILIES: dict[str, tuple[str, ...]] = {
    "mbg_cnbd_k": tuple(m.name for m in mbg_cnbd.MODELS),
    "contracts": (sbg.MODEL.name, bdw.MODEL.name),
}
"""Models of one kind, of which the one of most evidence is kept."""


def model(name: str) -> Model:
    """The model registered as `name`."""
    if name not in MODELS:
        known = ", ".join(sorted({*MODELS, *FAMILIES}))
        raise Refused("clv.models", f"no model is called {name!r}; expected one of {known}")
    return MODELS[name]


def family(name: str) -> tuple[str, ...]:
    """The members of the family registered as `name`; none where it is the name of a model, or of nothing."""
    return FAMILIES.get(name, ())


def spend_model(name: str) -> SpendModel:
    """The model of spend registered as `name`."""
    found = model(name)
    if not isinstance(found, SpendModel):
        raise Refused("clv.models", f"{name!r} is not a model of spend")
    return found
