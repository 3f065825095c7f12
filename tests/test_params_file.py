"""Params files under attack: each is refused in words, with its line, and nothing is opened, run or left behind."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlab.contract import Refused
from crmlab.params_file import merged
from crmlab.study import load_study

PLAIN = """study: shop
seed: 11
consent: assumed
data:
  files:
    transactions: {path: ../raw/sales.csv}
cycles:
  - {cycle: first, as_of: 2023-08-13}
  - {cycle: second, as_of: 2023-10-08}
"""


@pytest.fixture
def params(tmp_path):
    """The folder of params files in that of a study."""
    folder = tmp_path / "home" / "params"
    folder.mkdir(parents=True)
    return folder


def refused(path):
    """What is said of the file; nothing is made beside it."""
    before = sorted(path.parent.parent.rglob("*"))
    with pytest.raises(Refused) as refusal:
        load_study(path)
    assert refusal.value.exit_code == 2
    assert sorted(path.parent.parent.rglob("*")) == before
    return str(refusal.value)


def written(params, text, name="shop.yaml"):
    (params / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return params / name


def test_the_plain_file_is_read(params):
    assert load_study(written(params, PLAIN)).study.study == "shop"
    assert load_study(written(params, PLAIN.encode("utf-8-sig").replace(b"\n", b"\r\n"))).study.seed == 11


@pytest.mark.parametrize(("value", "says"), [
    ("'11'", "got '11', expected a whole number"),
    ("011", "got '011', expected a whole number"),
    ("0o11", "got '0o11'"),
    ("0x1f", "got '0x1f'"),
    ("1_000", "got '1_000'"),
    ("1:30", "got '1:30'"),
    ("11.0", "got 11.0"),
    ("1e3", "got 1000.0"),
    ("true", "got true"),
    ("yes", "got 'yes'"),
    ("１１", "got '１１'"),
    (".nan", "got '.nan'"),
    (".inf", "got '.inf'"),
    ("", "nothing is given"),
    ("~", "nothing is given"),
    ("9" * 5000, "999…, expected a whole number"),
    ("[11]", "got a list"),
    ("{a: 11}", "got names and values"),
    ("2023-01-01", "got '2023-01-01'"),
])  # fmt: skip
def test_what_is_not_written_as_a_whole_number_is_none(params, value, says):
    said = refused(written(params, PLAIN.replace("seed: 11", f"seed: {value}")))
    assert "1 fault\n  seed (line 2)" in said
    assert says in said


@pytest.mark.parametrize(("text", "says"), [
    ("clv: {by_segment: yes}", "clv.by_segment (line 10)  got 'yes', expected true or false"),
    ("clv: {by_segment: 1}", "got 1, expected true or false"),
    ("clv: {margin_share: '0.3'}", "got '0.3', expected a number"),
    ("clv: {margin_share: 0,3}", "clv.3 (line 10)"),
    ("activation: {budget: 1e999}", "line 10  1e999 is too large a number"),
    ("clv: {recorded_from: 20230101}", "got 20230101, expected a day, as 2024-01-31"),
    ("clv: {recorded_from: 2023-02-30}", "got '2023-02-30', expected a day"),
    ("clv: {recorded_from: 2023-01-01T00:00:00}", "expected a day"),
    ("clv: {purchases: [1]}", "got a list, expected text"),
    ("clv: {purchases: bgndb}", "clv.purchases (line 10)  got 'bgndb'"),
    ("clv: [draws, 3]", "clv (line 10)  got a list, expected names and values below it"),
    ("topics: portfolio", "topics (line 10)  got 'portfolio', expected a list"),
    ("topics: [../../x]", "topics.0 (line 10)"),
    ("budget: 3", "no such parameter; it belongs below activation"),
    ("Lang: it", "did you mean 'lang'?"),
    ("retention: {x: 1}", "retention.x (line 10)  no such parameter; those there are: period"),
    ("effects: {alpha: 0.1, power: 0.6}", "effects.power (line 10)  the protocol fixes it"),
    ("time_zone: Europa/Rome", "did you mean 'Europe/Rome'?"),
    ("time_zone: ../../etc/passwd", "which is no time zone"),
    ("currency: <b>", "expected three capital letters"),
    ("title: " + "x" * 201, "at most 200"),
    ("protocol: {power: 1.5}", "got 1.5, expected less than 1"),
    ("mode: live", "consent (line 3)  assumed is for mode: replay alone"),
])  # fmt: skip
def test_a_line_that_cannot_be_is_refused(params, text, says):
    said = refused(written(params, PLAIN + text))
    assert says in said
    assert "line 10" in said or "line 3" in said


@pytest.mark.parametrize(("text", "says"), [
    ("title: !env SECRET", "tags are not allowed"),
    ("title: !!python/object/apply:os.system ['touch pwned']", "tags are not allowed"),
    ("title: &a x", "anchors and aliases"),
    ("title: *a", "anchors and aliases"),
    ("rfm:\n  <<: {scores: 5}", "line 11  '<<' (merge) is not allowed"),
    ("title: " + "[" * 5000, "nested deeper than 20"),
    ("".join(" " * k + "a:\n" for k in range(300)), "nested deeper than 20"),
    ("seed: 12", "line 10  'seed' stands twice, first on line 2"),
    ("? [a, b]\n: 1", "a name must be plain text"),
    ("\ttitle: x", "line 10  a tab; indent with blanks"),
    ("title: a: b", "put text that holds ': ' in quotes"),
    ("title: @x", "text begins with a sign that means something else"),
    ("title: \"abc\nseed: 3", "line 10  a quote or bracket is opened here and never closed"),
    ("---\n" + PLAIN, "holds 2 documents"),
    ("title: \"\\e[31mred\"", "title (line 10)  holds a sign that does not show (U+001B)"),
    ("title: \"\\u202egnp.exe\"", "holds a sign that does not show (U+202E)"),
    ("title: \"\\ud800\"", "holds a sign that does not show (U+D800)"),
    ("\"\\e[31m\": 1", "line 10  a name holds a sign that does not show (U+001B)"),
    ("title: a\x07b", "line 10  not YAML: a sign that cannot be printed (U+0007)"),
    ("title: a\0b", "line 10  not YAML: a sign that cannot be printed (U+0000)"),
    ("title: 'CHOOSE: a or b'", "title (line 10)  still asks: a or b"),
    ("k" * 2000 + ": 1", "line 10"),
    ("# " + "x" * 300_000, "larger than 250,000 bytes"),
])  # fmt: skip
def test_what_is_no_plain_yaml_is_refused_with_its_line(params, text, says):
    assert says in refused(written(params, PLAIN + text))
    assert not Path("pwned").exists()


@pytest.mark.parametrize("content", [
    b"", b"\n\n", b"# nothing\n", b"null\n", b"- a\n", b"hello", PLAIN.encode("utf-16"), PLAIN.encode("utf-16-le"),
    PLAIN.encode("utf-32"), b"title: Citt\xe0\n", bytes(range(256)) * 20, b"PK\3\4" + bytes(500),
    b"%YAML 1.1\n---\n" + PLAIN.encode(),
])  # fmt: skip
def test_what_is_no_params_file_at_all_is_refused(params, content):
    assert "shop.yaml" in refused(written(params, content))


@settings(max_examples=200)
@given(st.text(alphabet="ab:-[]{}#&*!|>'\"%@`\\,.?0 \n\t\u202e\u00e9", max_size=60) | st.binary(max_size=40))
def test_no_text_makes_anything_but_a_study_or_a_refusal(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("any") / "shop.yaml"
    path.write_bytes(PLAIN.encode() + (text if isinstance(text, bytes) else text.encode()))
    with suppress(Refused):
        assert load_study(path).study.study == "shop"


@pytest.mark.parametrize(
    "secret", ["postgresql://me:hunter2@host/shop", "host=db password=hunter2", "https://a:hunter2@x"]
)
def test_a_password_is_refused_and_not_repeated(params, secret):
    for text in (
        PLAIN + f"title: {secret}\n",
        PLAIN.replace("seed: 11", f"seed: {secret}"),
        PLAIN.replace("{path: ../raw/sales.csv}", f"{{database: '{secret}', table: x}}"),
    ):
        said = refused(written(params, text))
        assert "holds what looks like a password" in said
        assert "hunter2" not in said


def test_everything_wrong_is_told_at_once(params):
    text = PLAIN.replace("seed: 11", "seed: -1\nseed: x\nlang: fr").replace("2023-08-13", "2023-13-08")
    text = text.replace("sales.csv}", "sales.csv, colums: {}, columns: {amuont: x}}") + "colour: 1\nclv: {drws: 1}\n"
    said = refused(written(params, text))
    for place in (
        "line 3 ", "lang (line 4)", "data.files.transactions.colums (line 8)", "cycles.0.as_of (line 10)",
        "colour (line 12)", "clv.drws (line 13)",
    ):  # fmt: skip
        assert place in said
    assert said.count("\n") == 6


def test_thousands_of_faults_are_not_all_told(params):
    said = refused(written(params, PLAIN + "".join(f"k{k}: 1\n" for k in range(5000))))
    assert said.count("\n") == 51
    assert "more" in said.splitlines()[-1]


@pytest.mark.parametrize(("base", "says"), [
    ("nope.yaml", "no such file"),
    ("bsae.yaml", "did you mean 'base.yaml'?"),
    ("../../outside.yaml", "lies outside of"),
    ("/etc/passwd", "lies outside of"),
    ("out.yaml", "is a link to"),
    (".", "is a folder"),
    ("pipe.yaml", "a named pipe"),
    ("https://example.com/base.yaml", "is an address"),
    ('""', "expected the path of a file"),
    ('"a\\0b"', "expected the path of a file"),
    ("[base.yaml]", "got a list, expected the path of a params file"),
    ("", "got nothing, expected the path of a params file"),
    ("child.yaml", "extends itself: child.yaml → child.yaml"),
    ("round.yaml", "extends itself: child.yaml → round.yaml → child.yaml"),
])  # fmt: skip
def test_what_cannot_be_extended_is_refused_alone(params, base, says):
    written(params, PLAIN, "base.yaml")
    written(params, "extends: child.yaml\nstudy: round\n", "round.yaml")
    (params.parent.parent / "outside.yaml").write_text(PLAIN)
    (params / "out.yaml").symlink_to(params.parent.parent / "outside.yaml")
    os.mkfifo(params / "pipe.yaml")
    said = refused(written(params, f"extends: {base}\nstudy: child\n", "child.yaml"))
    assert says in said
    assert "missing" not in said


def test_faults_of_the_file_below_are_told_with_its_name(params):
    written(params, PLAIN + "colour: red\nlang: !x it\n", "base.yaml")
    said = refused(written(params, "extends: base.yaml\nstudy: child\nsedd: 3\n", "child.yaml"))
    assert "colour (line 10 of base.yaml)" in said
    assert "line 11 of base.yaml  " in said
    assert "sedd (line 3)" in said
    said = refused(written(params, "extends: base.yaml\nstudy: shop\nlang: fr\n", "child.yaml"))
    assert "'shop' is the name of the study it extends" in said
    assert "got 'fr'" in said


def test_a_params_file_that_is_none_is_refused(params):
    written(params, PLAIN)
    (params.parent.parent / "outside.yaml").write_text(PLAIN)
    links = {"out": params.parent.parent / "outside.yaml", "dev": "/dev/zero", "round": params / "round.yaml"}
    for name, target in (links | {"in": params / "shop.yaml", "gone": params / "gone"}).items():
        (params / f"{name}.yaml").symlink_to(target)
    os.mkfifo(params / "pipe.yaml")
    assert load_study(params / "in.yaml").study.study == "shop"
    for name, says in {
        "out.yaml": "lies outside of", "dev.yaml": "lies outside of", "round.yaml": "leads back to itself",
        "gone.yaml": "no such file", "pipe.yaml": "a named pipe", "": "is a folder", "shpo.yaml": "mean 'shop.yaml'?",
    }.items():  # fmt: skip
        assert says in refused(params / name)
    for path in ("/dev/zero", "/", "", "a\0b", "x" * 5000):
        with pytest.raises(Refused):
            load_study(Path(path))


maps = st.recursive(
    st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8
)


@given(st.dictionaries(st.sampled_from("abc"), maps), st.dictionaries(st.sampled_from("abc"), maps))
def test_what_is_above_wins_and_what_it_does_not_name_stays(below, above):
    result = merged(below, above)
    assert set(result) == set(below) | set(above)
    assert merged(result, above) == result
    assert all(result[key] == below[key] for key in set(below) - set(above))
