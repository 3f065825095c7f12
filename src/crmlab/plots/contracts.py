"""Pictures of contracts: who stays, whether it was foreseen, what they are worth."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from crmlab.clv.contracts.projection import CONSTANT, Projection
from crmlab.clv.contracts.renewals import RetentionCurve
from crmlab.clv.contracts.value import ContractValue
from crmlab.contract import Sentence, say
from crmlab.contract.result import FEWEST
from crmlab.plots.frame import PALETTE, axes, finish, plot


@plot
def retention_curve(curve: RetentionCurve) -> Axes:
    """Share of a cohort left after each renewal: observed, and by the model beyond what was observed."""
    table = curve.table
    ax = axes("Subscribers left after each renewal", curve.basis)
    at = np.r_[0, table["renewal"]]
    low, high = np.r_[1, table["survival_low"]], np.r_[1, table["survival_high"]]
    ax.fill_between(at, low, high, color=PALETTE[0], alpha=0.2, linewidth=0, label=say("90 % interval"))
    ax.plot(at, np.r_[1, table["survival"]], color=PALETTE[0], label=curve.title_of_model)
    seen = table[(table["customers"] >= FEWEST) & table["stayed"].notna()]
    errors = np.maximum(np.abs(seen[["stayed_low", "stayed_high"]].to_numpy().T - seen["stayed"].to_numpy()), 0)
    ax.errorbar(
        seen["renewal"], seen["stayed"], yerr=errors, fmt="s", ms=4, color=PALETTE[1], capsize=2, label=say("observed")
    )
    ax.set_ylim(0, 1)
    ax.set_xlim(left=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False)
    end = table.iloc[-1]
    values = {"n": int(end["renewal"]), "end": end["survival"], "seen": len(seen)}
    if len(seen):
        last = seen.iloc[-1]
        alt = Sentence(
            "Falling curve of subscribers left, observed over {seen} renewals and by {model} over {n}: {share:.0%} "
            "left after renewal {m} as observed, {end:.0%} after renewal {n} by the model.",
            values | {"share": last["stayed"], "m": int(last["renewal"]), "model": curve.title_of_model},
        )
    else:
        alt = Sentence("Falling curve of subscribers left by the model: {end:.0%} after renewal {n}.", values)
    return finish(ax, alt=alt, x="renewal", y="left of those who start", percent="y")


@plot
def projection(result: Projection) -> Axes | None:
    """Subscribers left after the cut, actual and projected; nothing where fewer than five are left."""
    table = result.table[result.table["actual"] >= FEWEST]
    if table.empty:
        return None
    ax = axes("Subscribers left, projected and actual", result.basis)
    names = list(dict.fromkeys(table["model"]))
    for place, name in enumerate(names):
        part = table[table["model"] == name]
        colour = PALETTE[7] if name == CONSTANT else PALETTE[(0, 2, 3, 4)[place % 4]]
        running = part["customers"].iloc[0]
        at = np.r_[0, part["ahead"]]
        low, projected, high = (np.r_[running, part[c]] for c in ("low", "projected", "high"))
        ax.fill_between(at, low, high, color=colour, alpha=0.2, linewidth=0)
        ax.plot(at, projected, color=colour, label=say(name) if name == CONSTANT else name)
    actual = table[table["model"] == names[0]]
    ax.plot(actual["ahead"], actual["actual"], color=PALETTE[1], marker="s", linestyle="none", label=say("actual"))
    ax.set_ylim(bottom=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False)
    ends = table.groupby("model", sort=False).last()
    best = (ends["projected"] - ends["actual"]).abs().idxmin()
    alt = Sentence(
        "Subscribers left over {n} renewals after the cut: {actual:,} in the end; nearest comes {model} with "
        "{projected:,.0f}.",
        {
            "n": int(actual["ahead"].iloc[-1]),
            "actual": int(actual["actual"].iloc[-1]),
            "model": Sentence(CONSTANT) if best == CONSTANT else best,
            "projected": ends.loc[best, "projected"],
        },
    )
    return finish(ax, alt=alt, x="renewals after the cut", y="subscribers left, 90 % band", thousands="y")


@plot
def contract_value(value: ContractValue) -> Axes | None:
    """Mean CLV of running contracts by renewals so far; nothing where hardly any run."""
    groups = value.shown()
    groups = groups[groups["customers"] >= FEWEST] if len(groups) else groups
    if groups.empty:
        return None
    ax = axes("Value of a running contract by renewals so far", value.basis)
    where = np.arange(len(groups))
    errors = np.abs(groups[["low", "high"]].to_numpy(float).T - groups["clv"].to_numpy(float))
    ax.errorbar(where, groups["clv"], yerr=errors, fmt="o", color=PALETTE[0], capsize=3)
    ax.axhline(value.newcomer[0], color=PALETTE[1], linestyle="--", label=say("a contract that begins now"))
    ax.set_ylim(bottom=0)
    ax.set_xticks(where, groups["tenure"])
    ax.legend(frameon=False)
    first, last = groups.iloc[0], groups.iloc[-1]
    alt = Sentence(
        "Mean value of a running contract with 90 % intervals, by renewals so far: {a:,.0f} at {first}, {b:,.0f} at "
        "{last}; a contract that begins now is worth {new:,.0f}.",
        {"a": first["clv"], "first": first["tenure"], "b": last["clv"], "last": last["tenure"]}
        | {"new": value.newcomer[0]},
    )
    return finish(ax, alt=alt, x="renewals so far", y="mean CLV, currency", thousands="y")
