import pytest
from bs4 import BeautifulSoup
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlab.report.clean import TAGS, clean
from crmlab.report.prose import prose

ATTACKS = [
    "<script>alert(1)</script>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><a xlink:href='javascript:alert(1)'>x</a></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)></style></table></mtext></math>",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href=' java\nscript:alert(1)'>x</a>",
    "<a href='&#106;avascript:alert(1)'>x</a>",
    "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<div style='background:url(https://e.x/a)' onclick='alert(1)'>x</div>",
    "<style>@import url(https://e.x/a.css)</style>",
    "<link rel=stylesheet href=https://e.x/a.css>",
    "<meta http-equiv=refresh content='0;url=https://e.x'>",
    "<base href='https://e.x/'>",
    "<form action='https://e.x'><input name=a><button>go</button></form>",
    "<img src='https://e.x/a.png' alt='seen'>",
    "<img srcset='https://e.x/a.png 2x' src='data:image/png;base64,AAAA'>",
    "<video src=https://e.x/v poster=https://e.x/p></video>",
    "<object data=https://e.x></object><embed src=https://e.x>",
    "<!--><script>alert(1)</script>-->",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<textarea><img src=x onerror=alert(1)></textarea>",
    "<table background='https://e.x/a.png'><tr><td background=//e.x>1</td></tr></table>",
    '[x](javascript:alert(1)) ![y](https://e.x/y.png) <https://e.x/$" onmouseover="alert(1)$>',
    '![$x" onerror="alert(1)$](data:image/png;base64,AAAA)',
    '<abbr title="$x" onmouseover="alert(1)$">a</abbr>',
    '<abbr title="a > b $x$ c">$y" onclick="alert(1)$</abbr>',
    "$\\text{<img src=x onerror=alert(1)>}$ $$</math><script>alert(1)</script>$$",
    "\ue0000\ue001 \ue00099\ue001",
]
MATHML = frozenset(["math", "mrow", "mi", "mo", "mn", "mtext", "mspace", "msub", "msup", "mover", "munder"])
SAFE = {"href", "rel", "src", "alt", "class", "id", "scope", "title", "width", "height", "colspan", "rowspan", "start"}
SAFE |= {"tabindex", "lang", "alttext", "display", "mathvariant", "stretchy", "fence", "accent", "largeop"}


def assert_harmless(html):
    for tag in BeautifulSoup(html, "html.parser").find_all(True):
        assert tag.name in TAGS | MATHML
        assert set(tag.attrs) <= SAFE
        assert str(tag.get("src", "data:image/png")).startswith("data:image/")
        scheme = "".join(str(tag.get("href", "")).split()).lower()
        assert not scheme.startswith(("javascript:", "data:", "vbscript:"))


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_are_neutralised_in_outputs_and_in_prose(attack):
    assert_harmless(clean(attack))
    assert_harmless(prose(attack).html)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*ATTACKS, *"<>\"'=/$`*[]()! \n", "<b ", "title="]), max_size=8).map("".join))
def test_attacks_stay_neutralised_when_mixed(text):
    assert_harmless(clean(text))
    assert_harmless(prose(text).html)


def test_a_picture_from_elsewhere_leaves_its_words():
    assert clean("<p><img src='https://e.x/a.png' alt='a <b> bar'></p>") == "<p>a &lt;b&gt; bar</p>"


def test_tables_have_scopes_scroll_and_aligned_headings():
    html = clean(
        "<table><thead><tr><th>Segment</th><th>n</th></tr></thead>"
        '<tbody><tr><td class="text">a</td><td class="number">1</td></tr></tbody></table>'
    )
    soup = BeautifulSoup(html, "html.parser")
    assert [t["scope"] for t in soup.find_all("th")] == ["col", "col", "row"]
    assert soup.select_one("thead th:nth-child(2)")["class"] == ["number"]
    assert soup.table.parent["class"] == ["scroll"]
    assert clean(html).count("scroll") == 1


def test_text_inside_unknown_elements_stays():
    assert clean("<blink>kept</blink><font color=red>too</font>") == "kepttoo"
