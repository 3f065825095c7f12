"""Parameters of customer lifetime value."""

from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from crmlab.contract import Params


class Covariates(Params):
    """Traits that rates may depend on: numbers or yes/no, the same through a customer's whole history."""

    purchase: tuple[str, ...] = ()
    """How often customers buy."""
    dropout: tuple[str, ...] = ()
    """How soon they leave."""
    value: tuple[str, ...] = ()
    """What a purchase is worth."""


class Campaign(Params):
    """A campaign, past or planned, that moves purchases of all customers together."""

    start: date
    """Its first day."""
    end: date
    """Its last day."""
    reach: float = Field(gt=0, le=1)
    """Share of the base that it contacts."""

    @model_validator(mode="after")
    def _in_order(self) -> "Campaign":
        if self.end < self.start:
            raise ValueError(f"end {self.end} is before start {self.start}")
        return self


class CLVParams(Params):
    """Which models are fitted, how they are sampled, and over which horizon value is counted."""

    purchases: str = "bgnbd"
    """Model of when customers buy and leave."""
    spend: str = "gamma_gamma"
    """Model of what a purchase is worth."""
    period: Literal["week", "month", "quarter", "year"] | None = None
    """The calendar period that is one chance to buy, for models that count chances (bgbb)."""
    recorded_from: date | None = None
    """First day from which ended subscriptions are on record; of older ones only those still running were seen."""
    by_segment: bool = False
    """Each segment its own parameters, drawn from a distribution common to all."""
    covariates: Covariates = Covariates()
    """Traits on which buying, leaving and spending may depend."""
    campaigns: tuple[Campaign, ...] = ()
    """Campaigns that the company's forecast is told of: their effect is learnt from past ones."""
    horizon_weeks: int = Field(52, ge=1, le=520)
    """Weeks ahead over which value is counted."""
    annual_discount_rate: float = Field(0.10, ge=0, le=1)
    """Discount a year: 0.10 makes a margin one year ahead worth 1/1.10."""
    margin_share: float = Field(1.0, gt=0, le=1)
    """Share of an order's value that is margin; 1 where the values are margins already."""
    chains: int = Field(4, ge=2)
    """Markov chains, where a model is sampled by NUTS; one after another."""
    tune: int = Field(400, ge=50)
    """Tuning steps of a chain, discarded."""
    draws: int = Field(500, ge=50)
    """Draws kept of a chain."""
    target_accept: float = Field(0.9, gt=0.5, lt=1)
    """Acceptance that the sampler tunes its step to."""
    r_hat: float = Field(1.01, gt=1)
    """Gate: the largest R-hat a fit may have."""
    ess: int = Field(400, ge=1)
    """Gate: the smallest effective sample size, bulk and tail."""
    k_hat: float = Field(0.7, gt=0, le=1)
    """Gate: the largest Pareto k̂ that importance sampling may have; above it the model is sampled by NUTS."""
    kept_draws: int = Field(200, ge=20)
    """Posterior draws kept for customers' values."""
    validation_weeks: int = Field(13, ge=1)
    """Weeks withheld from fitting to validate the models."""
    validation_share: float = Field(1 / 3, gt=0, lt=1)
    """Largest share of the observed time that is withheld."""
