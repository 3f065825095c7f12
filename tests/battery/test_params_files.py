"""Params files as people mistype them: every fault at once, with its line and a mend."""

import pytest

from tests.battery.case import Case, holds, lines

PLAIN = """study: shop
seed: 1
consent: assumed
data:
  files:
    transactions: {path: ../orders.csv}
cycles: [{cycle: a, as_of: 2025-01-31, outcome_window: 4w}]
"""


def typed(before: str, after: str, *said: str, code: int = 2) -> Case:
    """The plain params file with one text replaced."""
    assert before in PLAIN
    return Case(params=PLAIN.replace(before, after), code=code, said=said)


def added(text: str, *said: str, code: int = 2) -> Case:
    """The plain params file with lines added."""
    return Case(params=PLAIN + text, code=code, said=said)


PARAMS = {
    "a plain file": added("", code=0),
    "a parameter nobody knows": added("colour: red\n", "colour", "line 8", "no such parameter"),
    "a misspelt parameter": typed("seed:", "sede:", "sede", "line 2", "'seed'"),
    "a misspelt parameter below": added("retention: {perod: M}\n", "retention.perod", "line 8", "'period'"),
    "a misspelt column": typed("orders.csv}", "orders.csv, columns: {amuont: x}}", "amuont", "'amount'"),
    "a misspelt table": typed("transactions:", "transaction:", "'transactions'"),
    "a name twice": added("seed: 2\n", "'seed' stands twice", "line 8"),
    "words for a number": typed("seed: 1", "seed: one", "seed", "line 2", "'one'"),
    "a seed below zero": typed("seed: 1", "seed: -1", "seed", "line 2"),
    "half a seed": typed("seed: 1", "seed: 1.5", "seed", "line 2"),
    "yes for a number": typed("seed: 1", "seed: true", "seed", "line 2"),
    "nothing for a number": typed("seed: 1", "seed:", "seed", "line 2"),
    "no seed": typed("seed: 1\n", "", "seed", "missing"),
    "no cycles": typed("cycles: [{cycle: a, as_of: 2025-01-31, outcome_window: 4w}]\n", "", "cycles", "missing"),
    "an empty list of cycles": typed(
        "[{cycle: a, as_of: 2025-01-31, outcome_window: 4w}]", "[]", "cycles", "at least one"
    ),
    "a day that is none": typed("2025-01-31", "2025-01-32", "as_of", "line 7"),
    "a day in words": typed("2025-01-31", "yesterday", "as_of", "line 7"),
    "a window of nothing": typed("4w", "0w", "outcome_window", "line 7"),
    "a window in months": typed("4w", "2m", "outcome_window"),
    "a cycle twice": typed("4w}]", "4w}, {cycle: a, as_of: 2025-02-28}]", "twice"),
    "cycles in no order": typed("4w}]", "4w}, {cycle: b, as_of: 2024-02-28}]", "order"),
    "a list for a map": typed("data:\n", "data: []\nother:\n", "data"),
    "a map for a list": typed("consent: assumed", "topics: {a: b}\nconsent: assumed", "topics"),
    "a language nobody translated": added("lang: fr\n", "lang", "'fr'"),
    "a mode nobody knows": added("mode: test\n", "mode", "'test'", "replay"),
    "a name with capitals": typed("study: shop", "study: Shop", "study", "line 1"),
    "a source nobody knows": typed("  files:\n    transactions: {path: ../orders.csv}", "  source: cdnwo", "'cdnow'"),
    "a source and files": typed("  files:", "  source: cdnow\n  files:", "either"),
    "a separator of two signs": typed("orders.csv}", 'orders.csv, separator: ";;"}', "separator", "line 6"),
    "thousands without decimals": typed("orders.csv}", 'orders.csv, thousands: "."}', "decimal"),
    "a column mapped twice": typed("orders.csv}", "orders.csv, columns: {amount: x, date: x}}", "'x'"),
    "several faults at once": Case(
        params=PLAIN.replace("seed: 1", "seed: one").replace("4w", "4x") + "colour: red\n",
        code=2,
        said=("line 2", "line 7", "line 8"),
    ),
    "a question not answered": typed(
        "orders.csv}", 'orders.csv, date_format: "CHOOSE: %d/%m/%Y or %m/%d/%Y"}', "%d/%m/%Y", "line 6"
    ),
    "an empty file": Case(params="", code=2, said=("shop.yaml",)),
    "nothing but a comment": Case(params="# nothing\n", code=2, said=("shop.yaml",)),
    "a list": Case(params="- study\n- seed\n", code=2, said=("line 1",)),
    "plain words": Case(params="study shop\n", code=2, said=("line 1",)),
    "a colon too many": Case(params="study: shop: x\n", code=2, said=("line 1",)),
    "tabs": Case(params="study: shop\n\tseed: 1\n", code=2, said=("line 2",)),
    "a bracket never closed": Case(params="study: [shop\nseed: 1\n", code=2, said=("line",)),
    "two documents": Case(params=PLAIN + "---\n" + PLAIN, code=2, said=("line 8", "documents")),
    "not UTF-8": Case(params="title: Città\n".encode("latin-1"), code=2, said=("UTF-8",)),
    "UTF-16": Case(params=PLAIN.encode("utf-16"), code=2, said=("UTF-8",)),
    "a zero byte": Case(params=b"study: sh\0op\n", code=2, said=("shop.yaml",)),
    "a byte order mark": Case(params=PLAIN.encode("utf-8-sig"), rows=(100, 100, [])),
    "line ends of Windows": Case(params=PLAIN.replace("\n", "\r\n"), rows=(100, 100, [])),
    "deep nesting": Case(params="a: " + "[" * 200 + "]" * 200 + "\n", code=2, said=("shop.yaml",)),
    "a file of two million letters": Case(params="# " + "x" * 2_000_000 + "\n" + PLAIN, code=2, said=("shop.yaml",)),
    "extends itself": Case(params="extends: shop.yaml\nstudy: b\n", code=2, said=("extends",)),
    "extends nothing": Case(params="extends: nowhere.yaml\nstudy: b\n", code=2, said=("nowhere.yaml",)),
    "extends a file of the system": Case(params="extends: /etc/passwd\nstudy: b\n", code=2, said=("/etc/passwd",)),
    "extends, without a name of its own": Case(
        files={"orders.csv": lines(), "params/base.yaml": PLAIN}, params="extends: base.yaml\n", code=2, said=("study",)
    ),
    "extends, and changes one thing": Case(
        files={"orders.csv": lines(), "params/base.yaml": PLAIN},
        params="extends: base.yaml\nstudy: b\nseed: 2\n",
        rows=(100, 100, []),
    ),
}


@pytest.mark.parametrize("case", PARAMS)
def test_params(tmp_path, case):
    holds(PARAMS[case], tmp_path)
