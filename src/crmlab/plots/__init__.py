"""One function a result: result in, Axes with alt text out."""

from crmlab.plots.activation import comparison, plan
from crmlab.plots.base import cohorts, ipt, orders_over_time, retention, rfm
from crmlab.plots.clv import lifetime_value, segment_value, tracking
from crmlab.plots.effects import effects
from crmlab.plots.homogeneity import response_by_segment, splits, spread
from crmlab.plots.segments import movement, profile, sizes

__all__ = [
    "cohorts",
    "comparison",
    "effects",
    "ipt",
    "lifetime_value",
    "movement",
    "orders_over_time",
    "plan",
    "profile",
    "response_by_segment",
    "retention",
    "rfm",
    "segment_value",
    "sizes",
    "splits",
    "spread",
    "tracking",
]
