"""The frame of every picture: size, source line, alt text, and how Jupyter shows it."""

import io
import textwrap
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes

from crmlab.contract import Basis, Sentence, localise, say

PALETTE = ("#1f5a7a", "#d9822b", "#5b8c5a", "#a23b4e", "#7a6ba6", "#8c7a5b", "#4aa3a2", "#b0b7bf")
_drawing: ContextVar[bool] = ContextVar("drawing", default=True)


def plot(draw: Callable[..., Axes]) -> Callable[..., Axes | None]:
    """Register a plot: it draws in the house style, or not at all where pictures are switched off."""

    @wraps(draw)
    def drawn(*args: Any, **kwargs: Any) -> Axes | None:
        if not _drawing.get():
            return None
        style = sns.axes_style("whitegrid", {"axes.edgecolor": "#888", "grid.color": "#e6e6e6"})
        with style, sns.plotting_context("notebook", font_scale=0.85), sns.color_palette(PALETTE):
            return draw(*args, **kwargs)

    return drawn


@contextmanager
def no_pictures() -> Iterator[None]:
    """Within this, plots draw nothing and return None: for simulations."""
    token = _drawing.set(False)
    try:
        yield
    finally:
        _drawing.reset(token)


def axes(title: Sentence | str, basis: Basis, *, width: float = 7.2, height: float = 3.6) -> Axes:
    """New axes with a title and, below, what the picture rests on."""
    ax = plt.figure(figsize=(width, height), layout="constrained").subplots()
    said = str(title) if isinstance(title, Sentence) else say(title)
    ax.set_title(textwrap.fill(said, int(width * 10.5)), loc="left", fontweight="bold")
    ax.figure.supxlabel(str(basis), x=0.01, ha="left", fontsize=7, color="#666")
    return ax


def label(name: str, width: int = 26) -> str:
    """A segment's name on as many short lines as it takes."""
    return textwrap.fill(name, width, break_on_hyphens=False)


def finish(ax: Axes, *, alt: Sentence, x: str = "", y: str = "", percent: str = "", thousands: str = "") -> Axes:
    """Label the axes and attach the alt text.

    Parameters
    ----------
    ax
        The axes to finish.
    alt
        What the picture shows, in words computed from its numbers.
    x, y
        Axis labels, English.
    percent, thousands
        Which axes (``"x"``, ``"y"``, ``"xy"``) show percentages or thousands marks.
    """
    ax.set_xlabel(say(x) if x else "")
    ax.set_ylabel(textwrap.fill(say(y), min(int(ax.figure.get_size_inches()[1] * 10), 42)) if y else "")
    for name in "xy":
        axis = getattr(ax, f"{name}axis")
        if name in percent:
            axis.set_major_formatter(lambda value, _: localise(f"{value:.0%}"))
        elif name in thousands:
            axis.set_major_formatter(lambda value, _: localise(f"{value:,.0f}"))
    sns.despine(ax=ax)
    ax.alt = alt
    return ax


def bundle(ax: Axes, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
    """The picture as Jupyter shows it: a PNG, and its alt text in the metadata."""
    buffer = io.BytesIO()
    ax.figure.savefig(buffer, format="png", dpi=144, metadata={"Software": None})
    plt.close(ax.figure)
    alt = str(getattr(ax, "alt", ""))
    return {"image/png": b64encode(buffer.getvalue()).decode(), "text/plain": alt}, {"image/png": {"alt": alt}}


def show_in_jupyter() -> None:
    """Have this kernel show returned Axes with their alt text, once each."""
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None:
        return
    matplotlib.use("agg")
    shell.display_formatter.mimebundle_formatter.for_type(Axes, bundle)
