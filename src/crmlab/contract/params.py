"""The base of every parameter model: unknown names are refused, values never change."""

from pydantic import BaseModel, ConfigDict


class Params(BaseModel):
    """Parameters of one analysis or room; each room defines its own beside what it steers."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
