"""One function a result: result in, Axes with alt text out."""

from crmlab.plots.activation import comparison, plan
from crmlab.plots.base import cohorts, contract_survival, ipt, orders_over_time, retention, rfm
from crmlab.plots.cards import card, cards, overview
from crmlab.plots.clv import customer_equity, lifetime_value, segment_value
from crmlab.plots.company import company_forecast
from crmlab.plots.contracts import contract_value, projection, retention_curve
from crmlab.plots.effects import effects
from crmlab.plots.homogeneity import response_by_segment, splits, spread
from crmlab.plots.judging import explained, stability
from crmlab.plots.lifecycle import flows, states
from crmlab.plots.pooled import pooled
from crmlab.plots.risk import calibration, risk_by_segment
from crmlab.plots.segments import movement, profile, sizes
from crmlab.plots.timing import due, foretold, rhythm, season
from crmlab.plots.validation import by_frequency, model_scores, tenths, tracking

__all__ = [
    "by_frequency",
    "calibration",
    "card",
    "cards",
    "cohorts",
    "company_forecast",
    "comparison",
    "contract_survival",
    "contract_value",
    "customer_equity",
    "due",
    "effects",
    "explained",
    "flows",
    "foretold",
    "ipt",
    "lifetime_value",
    "model_scores",
    "movement",
    "orders_over_time",
    "overview",
    "plan",
    "pooled",
    "profile",
    "projection",
    "response_by_segment",
    "retention",
    "retention_curve",
    "rfm",
    "rhythm",
    "risk_by_segment",
    "season",
    "segment_value",
    "sizes",
    "splits",
    "spread",
    "stability",
    "states",
    "tenths",
    "tracking",
]
