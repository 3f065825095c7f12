"""The models this room can fit: a new one is a file that ends in `MODEL`, and one line here."""

from crmlab.clv import bgnbd, gamma_gamma
from crmlab.clv.model import Model, PurchaseModel, SpendModel
from crmlab.contract import Refused

MODELS: dict[str, Model] = {m.name: m for m in (bgnbd.MODEL, gamma_gamma.MODEL)}


def model(name: str) -> Model:
    """The model registered as `name`."""
    if name not in MODELS:
        raise Refused("clv.models", f"no model is called {name!r}; expected one of {', '.join(sorted(MODELS))}")
    return MODELS[name]


def purchase_model(name: str) -> PurchaseModel:
    """The model of purchases registered as `name`."""
    found = model(name)
    if not isinstance(found, PurchaseModel):
        raise Refused("clv.models", f"{name!r} is not a model of purchases")
    return found


def spend_model(name: str) -> SpendModel:
    """The model of spend registered as `name`."""
    found = model(name)
    if not isinstance(found, SpendModel):
        raise Refused("clv.models", f"{name!r} is not a model of spend")
    return found
