"""Random histories of consent, objection, suppression, erasure, caps, new customers, new cycles and deliveries.

What is delivered is decided by the product; whether it was allowed is decided here, in plain Python, from the same
facts. Forbidden contacts, second contacts and changed arms are counted, and there may be none. ``--quick`` takes under
a minute.
"""

import argparse
import csv
import io
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path

import ibis
import pandas as pd
import pyarrow as pa
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from crmlab.activation.eligibility import EligibilityParams
from crmlab.data.raw import hold
from crmlab.delivery.choose import Earlier, choose
from crmlab.delivery.files import files_of, ledger_of
from crmlab.delivery.formats import FORMS
from crmlab.delivery.today import day_of, people_of
from crmlab.stage.inputs import connect
from crmlab.stage.ledger import (
    ADDS,
    LEDGER,
    LIST,
    ROWS,
    SENT,
    altered_deliveries,
    deliver,
    deliveries,
    forget_in_deliveries,
    ledger,
    with_ledger,
)
from crmlab.stage.people import pseudonym
from crmlab.trials.assignment import CONTROL, assign_arms

KEY = b"a key of thirty-two bytes length"
START = date(2024, 1, 1)
WINDOW = 28
HOLDOUT = 0.3
RULES = EligibilityParams(channel="email", cap=2, cap_weeks=4)
SCHEMAS = {
    "consents": {"customer_id": "str", "channel": "str", "state": "str", "date": "date"},
    "suppression": {"customer_id": "str", "email_sha256": "str", "date": "date"},
    "contacts": {"customer_id": "str", "campaign_id": "str", "arm": "str", "sent_at": "date"},
}
TYPES = {"str": pa.string(), "date": pa.date32()}


@dataclass
class Counts:
    """What all histories came to."""

    steps: int = 0
    deliveries: int = 0
    contacts: int = 0
    forbidden: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    changed_arms: list[str] = field(default_factory=list)


COUNTS = Counts()
days_off = st.sampled_from([0, 0, 0, -3, -40, 5, None])
some = st.integers(0, 10_000)


class Histories(RuleBasedStateMachine):
    """One company: its raw facts under raw ids, its published lists, its deliveries."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="crmlab-histories-"))
        self.con = connect()
        self.today = START
        self.emails: dict[str, str] = {}
        self.facts: dict[str, list[tuple]] = {name: [] for name in SCHEMAS}
        self.erased: set[str] = set()
        self.lists: dict[str, tuple[date, dict[str, str]]] = {}
        self.added: dict[str, set[str]] = {}
        self.reached: dict[str, set[str]] = {}
        self.really: list[tuple[str, str, date]] = []
        self.steps = 0
        for k in range(30):
            self._acquire(k)
        self._begin(set())

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.con.disconnect()
        shutil.rmtree(self.folder, ignore_errors=True)

    # What happens in the world.

    @rule(near=some, n=st.integers(1, 4))
    def new_customers(self, near: int, n: int) -> None:
        """Some share an address with somebody known; some never said anything about consent."""
        self._step()
        for k in range(n):
            self._acquire(near + k)

    def _acquire(self, near: int) -> None:
        name = f"c{len(self.emails) + 1:03d}"
        shared = near % 7 == 3 and self.emails
        known = sorted(set(self.emails.values()))
        self.emails[name] = known[near % len(known)] if shared else f"{name}@example.com"
        if near % 5:
            self.facts["consents"].append((name, "email", "granted", self.today))

    @rule(who=some, off=days_off, channel=st.sampled_from(["email", "email", "all", "sms"]))
    def consents(self, who: int, off: int | None, channel: str) -> None:
        """A permission, perhaps of another day or channel."""
        self._step()
        self.facts["consents"].append((self._somebody(who), channel, "granted", self._day(off)))

    @rule(
        who=some,
        off=days_off,
        channel=st.sampled_from(["email", "email", "all", "", "sms"]),
        state=st.sampled_from(["refused", "unreadable"]),
    )
    def objects(self, who: int, off: int | None, channel: str, state: str) -> None:
        """A refusal, perhaps without a readable day, channel or state."""
        self._step()
        self.facts["consents"].append((self._somebody(who), channel, state, self._day(off)))

    @rule(who=some, off=days_off, by_digest=st.booleans())
    def is_suppressed(self, who: int, off: int | None, by_digest: bool) -> None:
        """By id or by the digest of the address."""
        self._step()
        name = self._somebody(who)
        row = (None, _digest(self.emails[name])) if by_digest else (name, None)
        self.facts["suppression"].append((*row, self._day(off)))

    @rule(who=some)
    def is_erased(self, who: int) -> None:
        """As `crmlab forget` does it."""
        self._step()
        if len(self.erased) < len(self.emails) // 4:
            name = self._somebody(who)
            self.erased.add(name)
            forget_in_deliveries(self.folder, _called(name))

    @rule(who=st.lists(some, min_size=1, max_size=6), campaign=st.integers(1, 3), off=st.integers(0, 20))
    def are_contacted_by_others(self, who: list[int], campaign: int, off: int) -> None:
        """As an imported log tells."""
        self._step()
        day = self.today - timedelta(days=off)
        rows = {(self._somebody(w), f"other-{campaign}", "mailed", day) for w in who}
        self.facts["contacts"] += sorted(rows)

    @rule(by=some)
    def rows_are_reordered(self, by: int) -> None:
        """The same facts in another order."""
        self._step()
        for rows in self.facts.values():
            if rows:
                turn = by % len(rows)
                rows[:] = rows[turn:][::-1] + rows[:turn]

    @rule(days=st.integers(1, 9))
    def days_pass(self, days: int) -> None:
        """Up to nine."""
        self._step()
        self.today += timedelta(days=days)

    @rule()
    def senders_files_are_deleted(self) -> None:
        """As they may be once they were sent."""
        self._step()
        for delivery in deliveries(self.folder):
            for name in SENT:
                (delivery.folder / name).unlink(missing_ok=True)

    # What the company does.

    @rule(but=st.sets(st.integers(0, 9), max_size=4))
    @precondition(lambda self: all(as_of < self.today - timedelta(days=6) for as_of, _ in self.lists.values()))
    def a_cycle_begins(self, but: set[int]) -> None:
        """Whoever the list names, permitted or not: the delivery is to hold back whom it must."""
        self._step()
        self._begin(but)

    def _begin(self, but: set[int]) -> None:
        cycle = f"k{len(self.lists) + 1}"
        named = [n for k, n in enumerate(sorted(self.emails)) if n not in self.erased and k % 10 not in but]
        self.lists[cycle] = self.today, self._arms(list(map(_called, named)), cycle)
        self.today += timedelta(days=1)

    def _arms(self, ids: list[str], cycle: str) -> dict[str, str]:
        return assign_arms(ids, shares=HOLDOUT, key=KEY, study="shop", cycle=cycle).to_dict()

    @rule(turn=some)
    def the_assignment_is_run_again(self, turn: int) -> None:
        """Over everybody, new customers too, in another order."""
        self._step()
        everybody = [_called(n) for n in self.emails]
        turned = everybody[turn % len(everybody) :] + everybody[: turn % len(everybody)]
        for cycle, (_, published) in self.lists.items():
            again = self._arms(turned, cycle)
            COUNTS.changed_arms += [f"{cycle} {p}" for p, arm in published.items() if p in again and again[p] != arm]

    @rule(which=some, form=st.sampled_from(["plain", *FORMS]))
    def a_list_is_delivered(self, which: int, form: str) -> None:
        """Any list whose window is open."""
        self._step()
        self._deliver(which, form)

    def _deliver(self, which: int, form: str) -> None:
        open_now = [c for c, (as_of, _) in self.lists.items() if 0 < (self.today - as_of).days <= WINDOW]
        if not open_now:
            return
        cycle = open_now[which % len(open_now)]
        as_of, arms = self.lists[cycle]
        campaign = f"shop-{cycle}"
        assignment = pd.DataFrame({"customer_id": list(arms), "arm": list(arms.values()), "campaign_id": campaign})
        identity = pd.DataFrame({"customer_id": list(self.emails), "email": list(self.emails.values())})
        identity = identity.sort_values("customer_id", ignore_index=True).astype("str")
        called = pd.Series({name: _called(name) for name in self.emails})
        people = people_of(identity, called, channel="email", form=form)
        sent, gone = ledger(self.folder), {_called(n) for n in self.erased}
        day = day_of(
            self._tables(), people, sent=sent, erased=gone, channel="email", campaign=campaign, params=RULES,
            today=self.today, con=self.con,
        )  # fmt: skip
        same = [d for d in deliveries(self.folder) if d.manifest["campaign_id"] == campaign]
        mine = set(sent.loc[sent["campaign_id"] == campaign, "customer_id"])
        chosen = choose(assignment, people, day, Earlier(mine, same[-1].people(LIST) if same else ()))
        texts, rows = files_of(chosen, people, form=form, channel="email", campaign=campaign)
        cost = pd.Series(0.25, index=list(arms))
        gains = ledger_of(chosen, assignment, cost, as_of=as_of, channel="email", today=self.today)
        manifest = {"campaign_id": campaign, "cycle": cycle, "delivered_on": str(self.today), "format": form}
        made = deliver(self.folder, manifest, texts=texts, tables={LEDGER: gains, ROWS: rows})
        self._judge(cycle, campaign, made.people(LIST), made.people(ADDS), texts if form == "plain" else {})

    # Whether it was allowed, from the facts alone.

    def _judge(self, cycle: str, campaign: str, listed: set[str], added: set[str], texts: dict[str, str]) -> None:
        COUNTS.deliveries += 1
        COUNTS.contacts += len(added)
        arms, named = self.lists[cycle][1], {_called(n): n for n in self.emails}
        before = self.added.setdefault(campaign, set())
        for customer in sorted(listed | added):
            wrong = self._forbidden(named[customer], arms.get(customer), campaign, new=customer in added)
            COUNTS.forbidden += [f"{self.today} {campaign} {named[customer]}: {wrong}"] if wrong else []
        COUNTS.doubled += [f"{self.today} {campaign} {named[c]}" for c in sorted(added & before)]
        before |= added
        self.really += [(named[c], campaign, self.today) for c in sorted(added)]
        lines = {name: list(csv.DictReader(io.StringIO(text))) for name, text in texts.items()}
        if texts:
            found = [line["email"] for line in lines[LIST]]
            withheld = {self.emails[named[p]] for p, arm in arms.items() if arm == CONTROL and p in named}
            barred = withheld | {self.emails[n] for n in self.erased}
            COUNTS.forbidden += [f"{self.today} {campaign} address {a}" for a in found if a in barred]
            COUNTS.doubled += [f"{self.today} {campaign} address {a}" for a in set(found) if found.count(a) > 1]
        fresh = [self.emails[named[c]] for c in sorted(added)]
        reached = self.reached.setdefault(campaign, set())
        COUNTS.doubled += [f"{self.today} {campaign} address {a} again" for a in fresh if a in reached]
        reached |= set(fresh)
        book = ledger(self.folder)
        mine = book[book["campaign_id"] == campaign]
        COUNTS.doubled += [
            f"{campaign} {c} twice in the ledger" for c in mine.loc[mine.customer_id.duplicated(), "arm"]
        ]
        COUNTS.changed_arms += [
            f"{campaign} {r.customer_id}" for r in mine.itertuples() if arms.get(r.customer_id) != r.arm
        ]
        assert altered_deliveries(self.folder) == []
        assert [*COUNTS.forbidden, *COUNTS.doubled, *COUNTS.changed_arms] == []

    def _forbidden(self, name: str, arm: str | None, campaign: str, *, new: bool) -> str:
        hashes = {digest for _, digest, _ in self.facts["suppression"]}
        suppressed = {who for who, _, _ in self.facts["suppression"]}
        others = [(c, d) for n, c, d in self.really if n == name and c != campaign]
        others += [(c, d) for n, c, _, d in self.facts["contacts"] if n == name]
        recent = {(c, d) for c, d in others if self.today - timedelta(weeks=RULES.cap_weeks) < d <= self.today}
        checks = {
            "not on the list, or withheld": arm in (None, CONTROL),
            "erased": name in self.erased,
            "suppressed": name in suppressed or _digest(self.emails[name]) in hashes,
            "without consent": not self._permits(name),
            "contacted too often": new and len(recent) >= RULES.cap,
        }
        return ", ".join(what for what, holds in checks.items() if holds)

    def _permits(self, name: str) -> bool:
        latest, permitted = None, False
        for who, channel, state, day in self.facts["consents"]:
            granted = state == "granted"
            concerns = channel == "email" or (not granted and channel != "sms")
            if who != name or not concerns or (granted and (day is None or day > self.today)):
                continue
            held = day if granted else min(day or self.today, self.today)
            if latest is None or held > latest:
                latest, permitted = held, granted
            elif held == latest:
                permitted = permitted and granted
        return permitted

    # Small things.

    def _step(self) -> None:
        """One step; before every tenth a list is delivered, however the rules are drawn."""
        COUNTS.steps += 1
        self.steps += 1
        if self.steps % 10 == 0:
            self._deliver(self.steps // 10, "plain")

    def _somebody(self, which: int) -> str:
        """Anybody, and every other time somebody who was contacted already."""
        contacted = sorted({name for name, _, _ in self.really})
        names = contacted if which % 2 and contacted else sorted(self.emails)
        return names[which // 2 % len(names)]

    def _day(self, off: int | None) -> date | None:
        return None if off is None else self.today + timedelta(days=off)

    def _tables(self) -> dict[str, ibis.Table | None]:
        """The facts as canonical tables under pseudonyms, those erased left out, deliveries among the contacts."""
        tables = {}
        for name, kinds in SCHEMAS.items():
            rows = [r for r in self.facts[name] if r[0] not in self.erased]
            columns = list(zip(*rows, strict=True)) or [()] * len(kinds)
            frame = dict(zip(kinds, columns, strict=True))
            frame["customer_id"] = [n and _called(n) for n in frame["customer_id"]]
            arrays = {c: pa.array(frame[c], TYPES[kind]) for c, kind in kinds.items()}
            tables[name] = hold(self.con, f"facts_{name}", pa.table(arrays))
        tables["contacts"] = with_ledger(tables["contacts"], ledger(self.folder), self.con)
        return tables


def _called(name: str) -> str:
    return pseudonym(KEY, name)


def _digest(email: str) -> str:
    return sha256(email.encode()).hexdigest()


def histories(steps: int, *, first_seed: int = 1, length: int = 50) -> Counts:
    """Run histories of `length` steps each until there were so many steps; counts of what went wrong in all of them."""
    COUNTS.__init__()
    number = first_seed
    while steps > COUNTS.steps:
        examples = max(1, min(20, (steps - COUNTS.steps) // length))
        chosen = settings(
            max_examples=examples, stateful_step_count=length, deadline=None, database=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        run_state_machine_as_test(seed(number)(Histories), settings=chosen)
        number += 1
    return COUNTS


def main() -> int:
    """Run them; 0 where nothing forbidden happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="500 steps")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    start = time.monotonic()
    counts = histories(500 if chosen.quick else chosen.steps, first_seed=chosen.seed)
    print(f"{counts.steps:,} steps, {counts.deliveries:,} deliveries, {counts.contacts:,} contacts", end=", ")
    print(f"{time.monotonic() - start:.0f} s")
    if chosen.quick:
        print(f"left out: all but 500 of {chosen.steps:,} steps")
    goals = {
        "forbidden contacts": counts.forbidden,
        "second contacts": counts.doubled,
        "changed arms": counts.changed_arms,
    }
    for what, found in goals.items():
        print(f"{what:<24}{len(found):>8}   0   {'short' if found else 'met'}")
    return 1 if any(goals.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
