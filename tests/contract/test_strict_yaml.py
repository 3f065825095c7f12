import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmlab.contract import Refused, strict_yaml

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text("abc xyz:-#'", max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abcd", min_size=1, max_size=6), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abcd", min_size=1, max_size=6), plain, max_size=4))
def test_what_is_dumped_is_read_back(value):
    assert strict_yaml.loads(strict_yaml.dump(value)) == value if value else True


@pytest.mark.parametrize("text", ["08", "1e5", "0x1f", "12", "true", "Null", "~", "", "1.5", "1_000", "2017-05-07"])
def test_text_that_looks_like_something_else_stays_text(text):
    assert strict_yaml.loads(strict_yaml.dump({"a": text})) == {"a": text}


def test_dates_and_cycle_names_stay_text():
    assert strict_yaml.loads("as_of: 2017-05-07\ncycle: 2017-05") == {"as_of": "2017-05-07", "cycle": "2017-05"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: !!python/object/apply:os.system [ls]", "tags are not allowed"),
        ("a: !!binary aGk=", "tags are not allowed"),
        ("a: &x 1\nb: *x", "anchors and aliases"),
        ("a: 1\na: 2", "'a' stands twice, first on line 1"),
        ("a: [1, 2", "check indentation"),
        ("a: 1\n---\na: 2", "holds 2 documents"),
        ("- 1\n- 2", "expected 'name: value' lines"),
        ("a: " + "[" * 30 + "]" * 30, "nested deeper"),
    ],
)
def test_what_is_not_plain_is_refused_with_its_line(text, says):
    with pytest.raises(Refused, match=r"line 1|line 2") as refusal:
        strict_yaml.loads(text)
    assert says in str(refusal.value)


def test_all_faults_are_told_at_once():
    with pytest.raises(Refused) as refusal:
        strict_yaml.loads("a: !!set {x}\na: 1\nb: &y 2")
    assert len(refusal.value.faults) == 3


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(Refused, match=r"nowhere\.yaml: no such file"):
        strict_yaml.load(tmp_path / "nowhere.yaml", subject="nowhere.yaml")
