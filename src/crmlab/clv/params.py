"""Parameters of customer lifetime value."""

from pydantic import Field

from crmlab.contract import Params


class CLVParams(Params):
    """Which models are fitted, how they are sampled, and over which horizon value is counted."""

    purchases: str = "bgnbd"
    """Model of when customers buy and leave."""
    spend: str = "gamma_gamma"
    """Model of what a purchase is worth."""
    horizon_weeks: int = Field(52, ge=1, le=520)
    """Weeks ahead over which value is counted."""
    annual_discount_rate: float = Field(0.10, ge=0, le=1)
    """Discount a year: 0.10 makes a margin one year ahead worth 1/1.10."""
    margin_share: float = Field(1.0, gt=0, le=1)
    """Share of an order's value that is margin; 1 where the values are margins already."""
    chains: int = Field(4, ge=2)
    """Markov chains, sampled one after another."""
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
    kept_draws: int = Field(200, ge=20)
    """Posterior draws kept for customers' values."""
    validation_weeks: int = Field(13, ge=1)
    """Weeks withheld from fitting to validate the models."""
    validation_share: float = Field(1 / 3, gt=0, lt=1)
    """Largest share of the observed time that is withheld."""
