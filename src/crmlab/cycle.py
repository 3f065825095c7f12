"""What a loop notebook holds in its hand: one open cycle of a study."""

import json
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import ibis
import pandas as pd

from crmlab.base.orders import orders
from crmlab.base.responses import responses
from crmlab.base.traits import Traits
from crmlab.contract import Basis, Fault, Params, Refused, Sentence, mark, use
from crmlab.contract.result import frame_html
from crmlab.data.reading import ReadingReport, reading_report
from crmlab.data.schema import nothing
from crmlab.plots.frame import show_in_jupyter
from crmlab.segments.at_contact import at_contact
from crmlab.segments.nodes import Tree
from crmlab.segments.tree import leaves, names
from crmlab.segments.written import from_plain, from_yaml
from crmlab.stage.content import digest_of
from crmlab.stage.context import Context, cut_of
from crmlab.stage.erased import Seen
from crmlab.stage.folder import Published
from crmlab.stage.handover import as_yaml, frame_of, headline, write_table
from crmlab.stage.heading import header, unplaced
from crmlab.stage.inputs import Files, Store, connect
from crmlab.stage.keys import study_key
from crmlab.study import FIXED, StudyFile
from crmlab.trials.protocol import Protocol, campaign_id
from crmlab.trials.protocol import from_yaml as read_protocol

CONTEXT = "CRMLAB_CONTEXT"
"""Environment variable by which a run tells a kernel where its stage is being staged."""

FINISHED = "finished.json"
"""The token without which a stage counts as failed."""


class OpenCycle:
    """One stage of one cycle: what it may see, what came before, and where its results go."""

    def __init__(self, file: StudyFile, context: Context) -> None:
        self.params = file.study
        """The study's parameters: ``run.params.retention`` and so on."""
        self.cycle = file.study.cycle_named(context.cycle)
        """Name, `as_of`, window and campaigns of this cycle."""
        self.stage = context.stage
        self.as_of = self.cycle.as_of
        """The last day analysis and activation may see."""
        self.seed = file.study.seed
        self.key = study_key(file.study)
        """The key of the random assignment."""
        self._file = file
        self._context = context
        self._con = connect()
        self._kept: dict[str, Any] = {}
        use(file.study.lang)
        show_in_jupyter()

    @property
    def through(self) -> Any:
        """The last day this stage may see."""
        return cut_of(self.cycle, self.stage)

    @property
    def design(self) -> str:
        """``randomised`` or ``observational``."""
        return "randomised" if self.params.randomised else "observational"

    @property
    def chance(self) -> str:
        """The design, as it stands below a figure."""
        return mark("contacted at random") if self.params.randomised else mark("not contacted at random: descriptive")

    @cached_property
    def tables(self) -> dict[str, ibis.Table]:
        """The canonical tables, cut to what this stage may see."""
        return {"transactions": nothing("transactions")} | self._stored(self._context.inputs)

    def _stored(self, files: Files) -> dict[str, ibis.Table]:
        return Store(Path(self._context.store)).read(files, self._con)

    def table(self, name: str) -> ibis.Table:
        """One of the canonical tables; refused where the study has none of that name."""
        if name not in self.tables:
            what = f"no such table; declare it under data, beside {', '.join(sorted(self.tables))}"
            raise Refused(self.params.study, [Fault(name, what)])
        return self.tables[name]

    @cached_property
    def orders(self) -> ibis.Table:
        """One row an order, kept in the engine."""
        return self._con.create_table("orders", orders(self.tables["transactions"]), temp=True)

    @cached_property
    def mailed(self) -> pd.DataFrame:
        """In replay: who was really contacted in this cycle's campaigns. Only for comparison."""
        if not self._context.mailed:
            return pd.DataFrame({"customer_id": [], "campaign_id": []}, dtype="str")
        contacts = self._stored({"contacts": self._context.mailed})["contacts"]
        return contacts.filter(contacts.arm != "control").to_pandas().sort_values(["campaign_id", "customer_id"])

    @property
    def reading(self) -> ReadingReport:
        """The reading report: rows in, set aside and why."""
        read = self._stored({"reading": self._context.reading, "set_aside": self._context.set_aside})
        notes = [Sentence(*note) for note in self._context.notes]
        bad = read["set_aside"].to_pandas() if "set_aside" in read else None
        return reading_report(read["reading"].to_pandas(), as_of=self.as_of, notes=notes, bad=bad)

    def earlier(self, stage: str) -> Published | None:
        """The published stage this one builds on, or None."""
        folder = self._context.parents.get(stage)
        return Seen(Path(folder), frozenset(self._context.erased)) if folder else None

    @cached_property
    def tree_before(self) -> Tree | None:
        """The tree the last cycle's re-analysis left, or None in a first cycle."""
        parent = self.earlier("reanalysis")
        return from_yaml(parent.text("segments_next.yaml")) if parent else None

    @cached_property
    def tree_by_hand(self) -> Tree | None:
        """The tree that somebody edited for this cycle, or None."""
        written = self.params.segments.trees.get(self.cycle.cycle)
        return from_plain(written, subject=f"segments.trees.{self.cycle.cycle}") if written else None

    @property
    def as_of_before(self) -> date | None:
        """`as_of` of the cycle whose re-analysis this one starts from; None in a first cycle."""
        parent = self.earlier("reanalysis")
        return date.fromisoformat(parent.manifest["identity"]["params"]["cycle"]["as_of"]) if parent else None

    @cached_property
    def tree_of_last_cycle(self) -> Tree | None:
        """The tree the last cycle was run with, before it was revised; None in a first cycle."""
        parent = self.earlier("reanalysis")
        return from_yaml(parent.text("segments.yaml")) if parent else None

    @cached_property
    def tree(self) -> Tree:
        """The segment tree in force in this cycle, as its analysis published it."""
        return from_yaml(self.earlier("analysis").text("segments.yaml"))

    @cached_property
    def membership(self) -> pd.Series:
        """Customer → segment, as this cycle's analysis published it."""
        return _membership(self.earlier("analysis"))

    @cached_property
    def membership_before(self) -> pd.Series:
        """Customer → segment in the last cycle; empty in a first one."""
        parent = self.earlier("reanalysis")
        return _membership(parent) if parent else pd.Series([], index=pd.Index([], dtype="str"), dtype="str")

    @cached_property
    def traits(self) -> Traits:
        """The traits as this cycle's analysis published them: strictly before any contact of the cycle."""
        analysis = self.earlier("analysis")
        table = analysis.table("traits")
        return Traits(table, self.basis(len(table), "customers"), analysis.table("traits_catalogue"))

    @property
    def facts(self) -> dict[str, Any]:
        """What a protocol states of its cycle."""
        return {
            "study": self.params.study,
            "cycle": self.cycle.cycle,
            "as_of": self.as_of,
            "window_days": self.cycle.window_days,
            "seed": self.seed,
            "design": self.design,
            "mode": self.params.mode,
        }

    @cached_property
    def protocol(self) -> Protocol:
        """The protocol that this cycle's activation fixed before its list existed."""
        return read_protocol(self.earlier("activation").text("protocol.yaml"))

    def under_protocol(self, params: Params) -> Any:
        """`params` with what the protocol fixes: tolerance, alpha, interval and the like."""
        fixed = {name: getattr(self.protocol, name) for name in FIXED if name in type(params).model_fields}
        return params.model_copy(update=fixed)

    @property
    def campaigns(self) -> list[str]:
        """The campaigns of this cycle: those of history it stands for, or the one its own protocol names."""
        if self.params.mode == "replay":
            return list(self.cycle.campaigns)
        return [campaign_id(self.protocol, self.params.study, self.cycle.cycle)]

    def answers(self, campaigns: list[str] | None = None) -> pd.DataFrame:
        """How those contacted answered: one row a customer and campaign, in the segment they were in when contacted.

        The tree is this cycle's; the traits are those of the day before each contact, so that nobody is put into a
        segment by the answer that is then counted in it. Contacts sent before the data begin, and customers not in the
        base at the time, have no segment and are left out (`run.unplaced` counts them).

        Parameters
        ----------
        campaigns
            Only these; by default all whose outcome window has closed by the last day this stage may see.
        """
        placed = self._placed
        chosen = placed if campaigns is None else placed[placed["campaign_id"].isin(campaigns)]
        return chosen[chosen["segment"].notna()].reset_index(drop=True)

    @cached_property
    def _placed(self) -> pd.DataFrame:
        """All answers so far, each with the segment at the time of contact, or none."""
        days, at_hand = self.cycle.window_days, {self.as_of: self.membership}
        found = responses(self.tables, self.orders, window_days=days, through=self.through)
        segment = at_contact(self.tree, self.tables, found, params=self.params.traits, known=at_hand)
        closes = found["sent_at"] + pd.to_timedelta(days - 1, unit="D")
        return found.assign(segment=segment, closes=closes.astype("datetime64[s]"))

    @property
    def unplaced(self) -> Sentence:
        """How many contacts so far are left out because their customer had no segment at the time."""
        return unplaced(int(self._placed["segment"].isna().sum()), of=len(self._placed))

    @property
    def segment_names(self) -> dict[str, str]:
        """Segment → name, of the segments there are: nodes that were split are none."""
        called = names(self.tree)
        return {segment: called[segment] for segment in leaves(self.tree)}

    def basis(self, n: int, what: str, design: str = "") -> Basis:
        """A basis over the days this stage may see."""
        days = self.orders.aggregate(first=self.orders.date.min()).to_pandas()["first"]
        first = None if days.isna().all() else pd.Timestamp(days.iloc[0]).date()
        return Basis(n=n, what=what, start=first, end=self.as_of, design=design)

    @property
    def here(self) -> dict[str, Any]:
        """Seed, cycle and design: what an analysis of answers is told of where it is."""
        return {"seed": self.seed, "cycle": self.cycle.cycle, "design": self.design}

    @property
    def permission(self) -> dict[str, Any]:
        """What decides who may be contacted: tables (None where the study has none), the day, mode and consent."""
        tables = {name: self.tables.get(name) for name in ("contacts", "consents", "suppression")}
        return {**tables, "as_of": self.as_of, "mode": self.params.mode, "consent": self.params.consent}

    @property
    def keyed(self) -> dict[str, Any]:
        """What a list is drawn with: the day, the key, and what the margin is taken to be."""
        names = {"study": self.params.study, "cycle": self.cycle.cycle}
        return {"as_of": self.as_of, "key": self.key, **names, "margin_share": self.params.clv.margin_share}

    @property
    def planned(self) -> pd.Series | None:
        """Each customer's planned share of control; None in replay, where the shares were not ours."""
        if self.params.mode == "replay":
            return None
        return self.earlier("activation").table("assignment").set_index("customer_id")["share"]

    @property
    def prior_spend(self) -> pd.Series:
        """Spend of every customer of the base up to `as_of`."""
        return self.traits.table.set_index("customer_id")["monetary"]

    @property
    def primary(self) -> str:
        """``level`` or ``effect``: what the protocol lets decide about splits."""
        return next(h.kind for h in self.protocol.hypotheses if h.role == "primary")

    def keep(self, **results: Any) -> None:
        """Have each `Result` or DataFrame published, as ``tables/<name>.parquet``."""
        self._kept |= results
        if self._context.staging:
            for name, result in results.items():
                write_table(frame_of(result), Path(self._context.staging) / "tables" / f"{name}.parquet")

    def finish(self, *, main: tuple[str, ...] = (), files: dict[str, Any] | None = None) -> Sentence:
        """Hand over what was kept: the token without which the stage counts as failed.

        Parameters
        ----------
        main
            Names of the kept results whose first sentence the index shows.
        files
            Name → tree, protocol or plain value, published as YAML beside the tables.
        """
        if not self._context.staging:
            return Sentence("Nothing was published: only `crmlab run` publishes.")
        staging = Path(self._context.staging)
        for name, value in (files or {}).items():
            (staging / name).write_text(as_yaml(value), encoding="utf-8")
        written = sorted(p.relative_to(staging).as_posix() for p in staging.rglob("*") if p.is_file())
        token = {
            "main": [line for name in main if (line := headline(self._kept[name]))],
            "changes": [str(s) for s in self._kept["changes"].sentences()] if "changes" in self._kept else [],
            "files": {name: digest_of(staging / name) for name in written},
        }
        (staging / FINISHED).write_text(json.dumps(token, ensure_ascii=False), encoding="utf-8")
        return Sentence("All results of this stage were handed over.")

    def __repr__(self) -> str:
        return f"OpenCycle({self.params.study}, {self.cycle.cycle}, {self.stage})"

    def _repr_html_(self) -> str:
        # The page's band says the same, so there this is hidden by its class.
        rows = pd.DataFrame({"what": self.header().keys(), "value": self.header().values()})
        return f'<div class="opening">{frame_html(rows, {"what": ("", ""), "value": ("", "")})}</div>'

    def header(self) -> dict[str, str]:
        """What this stage is, as label → text in the study's language."""
        return header(self._file, self.cycle.cycle, self.stage)


def _membership(stage: Published) -> pd.Series:
    return stage.table("membership").set_index("customer_id")["segment"]
