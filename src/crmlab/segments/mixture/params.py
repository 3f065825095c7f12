"""What a mixture is fitted to, and how far it is searched."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from crmlab.contract import Params


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


class MixtureParams(Params):
    """Classes of customers who behave alike."""

    kind: Literal["mixture", "kmeans"] = "mixture"
    """mixture: a Gaussian and latent-class model, with probabilities. kmeans: the nearest of k centres, numbers only.
    Both are computed and shown; this one is used."""
    traits: Annotated[tuple[str, ...] | None, BeforeValidator(_as_tuple)] = Field(default=None, min_length=1)
    """The traits to look at; those of behaviour that are suited where not given."""
    most_classes: int = Field(default=8, ge=2, le=15)
    """Most classes that are tried."""
    min_share: float = Field(default=0.02, ge=0.0, lt=0.5)
    """Share of the customers below which a class is not one."""
