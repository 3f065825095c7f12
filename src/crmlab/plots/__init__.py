"""One function a result: result in, Axes with alt text out."""

from crmlab.plots.activation import comparison, plan
from crmlab.plots.base import cohorts, ipt, orders_over_time, retention, rfm
from crmlab.plots.clv import customer_equity, lifetime_value, segment_value
from crmlab.plots.company import company_forecast
from crmlab.plots.contracts import contract_value, projection, retention_curve
from crmlab.plots.effects import effects
from crmlab.plots.homogeneity import response_by_segment, splits, spread
from crmlab.plots.pooled import pooled
from crmlab.plots.segments import movement, profile, sizes
from crmlab.plots.validation import by_frequency, model_scores, tenths, tracking

__all__ = [
    "by_frequency",
    "cohorts",
    "company_forecast",
    "comparison",
    "contract_value",
    "customer_equity",
    "effects",
    "ipt",
    "lifetime_value",
    "model_scores",
    "movement",
    "orders_over_time",
    "plan",
    "pooled",
    "profile",
    "projection",
    "response_by_segment",
    "retention",
    "retention_curve",
    "rfm",
    "segment_value",
    "sizes",
    "splits",
    "spread",
    "tenths",
    "tracking",
]
