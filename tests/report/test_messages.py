import io
import string
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from crmlab.report.formula import FormulaError
from crmlab.report.messages import messages, notebook_texts, python_texts, read, template_texts, updated
from crmlab.report.prose import prose

ROOT = Path(__file__).parents[2]


def fields(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_texts_are_found_wherever_they_are_written():
    source = '''
STATES = {"a": mark("word")}
SHOWN_COLUMNS = {"x": ("heading of a constant", "")}
class Worth(Result):
    """Not this."""
    title: ClassVar[str] = "a title"
    note = "a " "note"
    columns: ClassVar[dict] = {**OTHER, "n": ("a heading", ",d"), "m": (NAME, "")}
    people = ("customers",)
    def sentences(self):
        yield Sentence("plain {n}" if self.n else "none", {"n": 1}, "good")
def draw(result):
    ax = frame.axes("a picture", result.basis)
    words.say(text="by keyword")
    say(variable); say(f"never {n}"); say("")
    text = "first of a name"
    if result:
        text = ("second " "of it")
    told = Sentence(text, {})
    run.basis(3, "people", "by chance")
    frame_html(table, {"c": ("in a call", "")})
    Basis(3, "households", design="descriptive")
    return finish(ax, alt=Sentence("alt"), x="across", y=LABEL)
'''
    shown = ["word", "heading of a constant", "a title", "a note", "a heading", "plain {n}", "none", "a picture"]
    shown += ["by keyword", "", "in a call", "households", "descriptive", "alt", "across"]
    shown += ["first of a name", "second of it", "people", "by chance"]
    assert sorted(python_texts(source)) == sorted(shown)
    assert template_texts("{{ say('one') }}{% if x %}{{ say(\"two {n}\", n=1) }}{% endif %}{{ other('no') }}") == [
        "one",
        "two {n}",
    ]
    assert notebook_texts(
        '{"cells":[{"cell_type":"markdown","source":["# A\\n","b\\n"]},{"cell_type":"code","source":"say(\\"c\\")"}]}'
    ) == [
        "# A\nb",
        "c",
    ]


def test_updating_keeps_translations_adds_what_is_new_and_drops_what_is_unused():
    old = Catalog(locale="it")
    old.add("kept", "tenuto")
    old.add("unused", "inutile")
    old.add("guessed", "forse", flags=["fuzzy"])
    new = updated(old, {"kept": ["b.py"], "added": ["a.py"], "guessed": ["a.py"]})
    assert {m.id: m.string for m in new if m.id} == {"kept": "tenuto", "added": "", "guessed": ""}


def test_the_catalogue_is_written_the_same_whatever_the_order_and_the_day():
    found = messages(ROOT)
    first, second = io.BytesIO(), io.BytesIO()
    write_po(first, updated(read(), found), include_lineno=False)
    read_back = read_po(io.BytesIO(first.getvalue()), locale="it")
    write_po(second, updated(read_back, dict(reversed(found.items()))), include_lineno=False)
    assert first.getvalue() == second.getvalue()


def test_every_text_has_an_italian_translation_with_the_same_fields_and_none_is_stale():
    translated = {str(m.id): str(m.string) for m in read() if m.id and not m.fuzzy}
    found = messages(ROOT)
    assert not sorted(found.keys() - {k for k, v in translated.items() if v.strip()}), "run the catalogue's update"
    assert not sorted(translated.keys() - found.keys()), "run the catalogue's update"
    assert not [k for k, v in translated.items() if _looks_formatted(k) and fields(k) != fields(v)]


def _looks_formatted(text):
    try:
        return bool(fields(text))
    except ValueError:
        return False


@pytest.mark.parametrize("language", ["en", "it"])
def test_every_formula_of_the_notebooks_can_be_set(language):
    cells = [t for t, files in messages(ROOT).items() if any(f.endswith(".ipynb") for f in files)]
    if language == "it":
        known = {str(m.id): str(m.string) for m in read() if m.id}
        cells = [known.get(c, "") for c in cells]
    assert not [c for c in cells if 'class="tex"' in prose(c).html]


def test_what_cannot_be_set_would_be_noticed():
    assert 'class="tex"' in prose(r"$\nosuch{x}$").html
    assert issubclass(FormulaError, ValueError)
