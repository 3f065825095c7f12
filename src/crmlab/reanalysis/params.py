"""Parameters of the re-analysis."""

from typing import Literal

from pydantic import Field

from crmlab.contract import Params


class EffectParams(Params):
    """How effects are read."""

    arm: str | None = None
    """Arm compared with the control group; none: all contacted arms together."""
    outcomes: tuple[Literal["response", "spend", "orders", "margin"], ...] = ("response", "spend", "orders")
    """What is compared; the first is the primary outcome."""
    interval: float = Field(default=0.90, gt=0.5, lt=1)
    """Coverage of intervals."""
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """Size of tests."""
    power: float = Field(default=0.80, gt=0.5, lt=1)
    """Power at which minimum detectable effects are stated."""
    fewest: int = Field(default=20, ge=2)
    """Customers in each arm without whom a segment does not enter the test of differing effects."""
    permutations: int = Field(default=1499, ge=99)
    """Resamplings of the test for effects that go with a trait."""


class LevelsParams(Params):
    """How segments' levels are compared."""

    alpha: float = Field(0.05, gt=0, lt=1)
    """Level of the tests."""
    interval: float = Field(0.90, gt=0, lt=1)
    """Coverage of the intervals."""
    draws: int = Field(999, ge=99)
    """Bootstrap draws of customers."""


class HomogeneityParams(Params):
    """When people of a segment count as alike."""

    tolerance: float = Field(0.05, gt=0, lt=1)
    """Standard deviation of true rates within a segment that is still as good as none."""
    alpha: float = Field(0.05, gt=0, lt=1)
    """Level of the tests."""
    interval: float = Field(0.90, gt=0, lt=1)
    """Coverage of the interval of the spread."""
    permutations: int = Field(1499, ge=99)
    """Resamplings of a test."""
    min_customers: int = Field(40, ge=10)
    """Fewer customers than this are not analysed: contacted twice for the spread, contacted now for the traits."""
    min_answers: int = Field(10, ge=1)
    """Fewer answers of either kind than this do not give a spread."""
    min_child: int = Field(50, ge=10)
    """Smallest side of a split from which a spread is concluded."""
    find_share: float = Field(0.5, gt=0, lt=1)
    """Share of customers on whom such a split is found; the others confirm it."""


class RefinementParams(Params):
    """How splits are found, and when they are adopted."""

    alpha: float = Field(0.05, gt=0, lt=1)
    """Level of finding and of confirming."""
    interval: float = Field(0.90, gt=0, lt=1)
    """Coverage of the interval of a difference."""
    find_share: float = Field(0.5, gt=0, lt=1)
    """Share of customers in the finding half."""
    permutations: int = Field(1499, ge=99)
    """Resamplings of the search."""
    min_child: int = Field(50, ge=10)
    """Contacted customers that each side of a split must have."""
    cuts: int = Field(10, ge=2, le=50)
    """Numeric traits are cut at the borders of this many equal parts."""
