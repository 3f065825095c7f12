"""Random histories of consent, objection, suppression, erasure, caps, moves, new customers, cycles and deliveries.

What is delivered is decided by the product; whether it was allowed is decided by `bookkeeping.py`, in plain Python,
from the same facts. Forbidden contacts, second contacts, changed arms and people lost are counted, and there may be
none. ``--quick`` takes under a minute.
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
from pathlib import Path

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import bookkeeping
from benchmarks.bookkeeping import CONTACTED, CONTROL, HOLDOUT, KEY, WINDOW, Books, Wrong, digest
from benchmarks.delivering import called, delivered
from crmlab.stage.erased import erase
from crmlab.stage.ledger import ADDS, SENT, addresses_of, altered_deliveries, deliveries, forget_in_deliveries, ledger
from crmlab.stage.people import address_mark
from crmlab.trials.assignment import assign_arms

START, LENGTH = date(2024, 1, 1), 60
WAYS = [(channel, form) for form, headers in bookkeeping.HEADERS.items() for channel in headers]


@dataclass
class Counts(Wrong):
    """What all histories came to."""

    steps: int = 0
    deliveries: int = 0
    contacts: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


COUNTS = Counts()
days_off = st.sampled_from([0, 0, 0, -1, -3, -40, 5, None])
some = st.integers(0, 10_000)
named = st.sampled_from(["email", "email", "sms", "sms", "all", "", "pigeon", "phone"])
ways = st.sampled_from(WAYS)


class Histories(RuleBasedStateMachine):
    """One company: its books under raw ids, and what the product made of them in a folder."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="crmlab-histories-"))
        self.books, self.steps, self.latest = Books(START), 0, ""

    @initialize(near=some)
    def start(self, near: int) -> None:
        """A company with a first list."""
        for k in range(24):
            bookkeeping.acquire(self.books, near + k)
        self._begin(set())

    def teardown(self) -> None:
        """Every delivery is as it was written; nothing is left behind."""
        try:
            assert altered_deliveries(self.folder) == []
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    # What happens in the world.

    @rule(near=some, n=st.integers(1, 4))
    def new_customers(self, near: int, n: int) -> None:
        """Some share an address with somebody known; some never said anything about consent."""
        for k in range(n):
            bookkeeping.acquire(self.books, near + k)
        self._step()

    @rule(who=some, to=some, how=st.sampled_from(["own", "taken", "taken", "swapped", "none", "phone"]))
    def somebody_moves(self, who: int, to: int, how: str) -> None:
        """To an address of their own, to one that somebody has, or to none."""
        books, one, other = self.books, self._somebody(who), self._somebody(to)
        if how == "phone":
            books.phones[one] = books.phones[other]
        elif how == "swapped":
            books.emails[one], books.emails[other] = books.emails[other], books.emails[one]
        else:
            new = {"own": f"{one}.{self.steps}@example.com", "taken": bookkeeping.spelt(books, other, to), "none": ""}
            books.emails[one] = new[how]
        self._step()

    @rule(who=some, to=some, kept=st.booleans())
    def an_address_is_passed_on(self, who: int, to: int, kept: bool) -> None:
        """By somebody whom the newest list reached to somebody whom it did not, who permits contact there."""
        books, (fresh, done) = self.books, bookkeeping.newest(self.books)
        if fresh and done:
            heir, giver = fresh[who % len(fresh)], done[to % len(done)]
            books.emails[heir], books.phones[heir] = books.emails[giver], books.phones[giver]
            if not kept:
                books.emails[giver], books.phones[giver] = f"{giver}.{self.steps}@example.com", ""
            books.consents += [(heir, channel, "granted", books.today) for channel in ("email", "sms")]
        self._step()

    @rule(who=some, off=days_off, channel=named)
    def consents(self, who: int, off: int | None, channel: str) -> None:
        """A permission, perhaps of another day or channel."""
        self.books.consents.append((self._somebody(who), channel, "granted", self._day(off)))
        self._step()

    @rule(who=some, off=days_off, channel=named, state=st.sampled_from(["refused", "unreadable"]))
    def objects(self, who: int, off: int | None, channel: str, state: str) -> None:
        """A refusal, perhaps without a readable day, channel or state."""
        self.books.consents.append((self._somebody(who), channel, state, self._day(off)))
        self._step()

    @rule(who=some, off=days_off, by=st.sampled_from(["id", "digest", "digest as written"]))
    def is_suppressed(self, who: int, off: int | None, by: str) -> None:
        """By id alone, or by the digest of the address alone."""
        name = self._somebody(who)
        email = self.books.emails[name]
        found = digest(email if by == "digest as written" else email.strip().lower())
        row = (name, None) if by == "id" or not email else (None, found)
        self.books.suppression.append((*row, self._day(off)))
        self._step()

    @rule(who=some)
    def is_erased(self, who: int) -> None:
        """As `crmlab forget` does it."""
        if len(self.books.erased) < len(self.books.emails) // 6:
            name = self._somebody(who)
            places = {bookkeeping.place(self.books, name, channel) for channel in ("email", "sms")} - {""}
            marks = {address_mark(KEY, place) for place in places} | addresses_of(self.folder, called(name))
            bookkeeping.forget(self.books, name)
            erase(self.folder, called(name), KEY, self.books.today, marks)
            forget_in_deliveries(self.folder, called(name))
        self._step()

    @rule(who=st.lists(some, min_size=3, max_size=10), off=st.sampled_from([0, 1, 20, 26, 27, 28]), often=st.booleans())
    def are_contacted_by_others(self, who: list[int], off: int, often: bool) -> None:
        """As an imported log tells: once, or as often as they may be."""
        rows = {(self._somebody(w), f"other-{k}", "mailed", self._day(-off)) for w in who for k in range(1 + often)}
        self.books.contacts += sorted(rows)
        self._step()

    @rule(who=some, off=st.integers(0, 5))
    def the_senders_log_comes_back(self, who: int, off: int) -> None:
        """Of our own deliveries, dated as the sender dates them; it may name whom it should not."""
        rows = [(s.who, s.campaign, CONTACTED) for s in self.books.sent]
        rows += [(name, campaign, (CONTROL, "mailed")[who % 2]) for name, campaign in self.books.withheld]
        self.books.contacts += [(*row, self._day(-off)) for row in rows[who % 7 :: 7]]
        self._step()

    @rule(by=some)
    def rows_are_reordered(self, by: int) -> None:
        """The same facts in another order."""
        for rows in (self.books.consents, self.books.suppression, self.books.contacts):
            turn = by % (len(rows) + 1)
            rows[:] = rows[turn:][::-1] + rows[:turn]
        self._step()

    @rule(days=st.integers(1, 9))
    def days_pass(self, days: int) -> None:
        """Up to nine."""
        self.books.today += timedelta(days=days)
        self._step()

    @rule()
    def senders_files_are_deleted(self) -> None:
        """As they may be once they were sent."""
        for delivery in deliveries(self.folder):
            for name in SENT:
                (delivery.folder / name).unlink(missing_ok=True)
        self._step()

    # What the company does.

    @rule(but=st.sets(st.integers(0, 9), max_size=4))
    @precondition(lambda self: all(end < self._day(-3) for end, _ in self.books.lists.values()))
    def a_cycle_begins(self, but: set[int]) -> None:
        """Whoever the list names, permitted or not: the delivery is to hold back whom it must."""
        self._begin(but)
        self._step()

    def _begin(self, but: set[int]) -> None:
        books, cycle = self.books, f"k{len(self.books.lists) + 1}"
        those = [n for k, n in enumerate(sorted(books.emails)) if n not in books.erased and k % 10 not in but]
        books.lists[cycle] = books.today, {name: bookkeeping.arm(name, cycle) for name in those}
        self._compare_arms(cycle, those[::-1])
        books.today += timedelta(days=1)

    @rule(turn=some)
    def the_assignment_is_run_again(self, turn: int) -> None:
        """Over everybody, new customers too, in another order."""
        everybody = list(self.books.emails)
        turn %= len(everybody)
        for cycle in self.books.lists:
            self._compare_arms(cycle, everybody[turn:] + everybody[:turn])
        self._step()

    def _compare_arms(self, cycle: str, names: list[str]) -> None:
        made = assign_arms(map(called, names), shares=HOLDOUT, key=KEY, study="shop", cycle=cycle).to_dict()
        arms = self.books.lists[cycle][1]
        self._count(Wrong(changed_arms=[f"{cycle} {n}" for n in names if n in arms and made[called(n)] != arms[n]]))

    @rule(which=some, days=st.integers(0, 4), again=st.booleans(), way=ways)
    def a_list_is_delivered(self, which: int, days: int, again: bool, way: tuple[str, str]) -> None:
        """Any list whose window is open, or the latest once more, some days after and perhaps in another channel."""
        self.books.today += timedelta(days=days)
        self._deliver(which, way, again=again)
        self._step()

    def _deliver(self, which: int, way: tuple[str, str], *, again: bool = False) -> None:
        books, (channel, form) = self.books, way
        open_now = [c for c, (end, _) in books.lists.items() if 0 < (books.today - end).days <= WINDOW]
        if not open_now:
            return
        cycle = self.latest if again and self.latest in open_now else open_now[-1 - which % len(open_now)]
        self.latest = cycle
        texts, reasons = delivered(self.folder, books, cycle, channel, form, which % 9)
        self._judge(cycle, way, texts, reasons)

    def _judge(self, cycle: str, way: tuple[str, str], texts: dict[str, str], reasons: dict[str, str]) -> None:
        """Hold files, reasons and ledger against the books, which are then brought up to date."""
        books, campaign = self.books, f"shop-{cycle}"
        told = bookkeeping.decide(books, cycle, *way)
        lines = {name: list(csv.DictReader(io.StringIO(text))) for name, text in texts.items()}
        COUNTS.deliveries += 1
        COUNTS.contacts += len(lines[ADDS])
        for reason in told.values():
            COUNTS.reasons[reason] = COUNTS.reasons.get(reason, 0) + 1
        wrong = bookkeeping.held_against(books, cycle, *way, told, lines)
        wrong.lost += [f"{n}: {reasons[called(n)]}, not {r}" for n, r in told.items() if reasons[called(n)] != r]
        bookkeeping.keep(books, cycle, *way, told)
        due = {(called(s.who), CONTACTED, s.day) for s in books.sent if s.campaign == campaign}
        due |= {(called(name), CONTROL, day) for (name, c), day in books.withheld.items() if c == campaign}
        table = ledger(self.folder).query("campaign_id == @campaign")
        found = [(r.customer_id, r.arm, r.delivered_on.date()) for r in table.itertuples()]
        wrong.doubled += [f"{campaign} {row} twice in the ledger" for row in set(found) if found.count(row) > 1]
        wrong.lost += [f"{campaign} {row} in one ledger alone" for row in sorted(due ^ set(found))]
        self._count(wrong)

    # Small things.

    def _count(self, wrong: Wrong) -> None:
        for kind, found in vars(wrong).items():
            getattr(COUNTS, kind).extend(found)
        assert not wrong.any(), wrong

    def _step(self) -> None:
        """One step; after every twelfth a list is delivered, however the rules are drawn."""
        COUNTS.steps += 1
        self.steps += 1
        if self.steps % 12 == 4:
            self._deliver(self.steps // 48, WAYS[self.steps // 12 % len(WAYS)])

    def _somebody(self, which: int) -> str:
        return bookkeeping.somebody(self.books, which)

    def _day(self, off: int | None) -> date | None:
        return None if off is None else self.books.today + timedelta(days=off)


def histories(steps: int, *, first_seed: int = 1) -> Counts:
    """Run histories of `LENGTH` steps each until there were so many steps, or one went wrong, which is then told."""
    COUNTS.__init__()
    number = first_seed
    while steps > COUNTS.steps:
        chosen = settings(
            max_examples=max(1, min(20, (steps - COUNTS.steps) // LENGTH)), stateful_step_count=LENGTH, deadline=None,
            database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        try:
            run_state_machine_as_test(seed(number)(Histories), settings=chosen)
        except AssertionError as wrong:
            print(*getattr(wrong, "__notes__", ()), wrong, sep="\n", file=sys.stderr)
            break
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
    print("; ".join(f"{reason}: {n:,}" for reason, n in sorted(counts.reasons.items())))
    if chosen.quick:
        print(f"left out: all but 500 of {chosen.steps:,} steps")
    goals = {
        "forbidden contacts": counts.forbidden,
        "second contacts": counts.doubled,
        "changed arms": counts.changed_arms,
        "lost": counts.lost,
    }
    for what, found in goals.items():
        print(f"{what}  {len(set(found))}  0  {'short' if found else 'met'}")
    return 1 if counts.any() else 0


if __name__ == "__main__":
    sys.exit(main())
