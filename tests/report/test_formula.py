import re
from xml.etree import ElementTree

import pytest

from crmlab.report.formula import FormulaError, mathml


def shape(tex, **kwargs):
    """The elements and words of the formula, without attributes and grouping rows."""
    text = re.sub(r"<(\w+)[^>]*>", r"<\1>", mathml(tex, **kwargs))
    return re.sub(r"</?(?:math|mrow)>", "", text)


@pytest.mark.parametrize(
    ("tex", "expected"),
    [
        ("t_x", "<msub><mi>t</mi><mi>x</mi></msub>"),
        ("x^{12}", "<msup><mi>x</mi><mn>12</mn></msup>"),
        ("x_i^2", "<msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup>"),
        (r"\frac{a}{b}", "<mfrac><mi>a</mi><mi>b</mi></mfrac>"),
        (r"\hat{p}'", "<msup><mover><mi>p</mi><mo>^</mo></mover><mo>′</mo></msup>"),
        (r"a \le -1", "<mi>a</mi><mo>≤</mo><mo>−</mo><mn>1</mn>"),
        (r"\text{a b} \mathrm{CLV}", "<mtext>a b</mtext><mi>CLV</mi>"),
        (r"\mathbb{E}[X]", "<mi>𝔼</mi><mo>[</mo><mi>X</mi><mo>]</mo>"),
        (r"\sqrt[3]{x}", "<mroot><mi>x</mi><mn>3</mn></mroot>"),
        (r"\lambda\Gamma", "<mi>λ</mi><mi>Γ</mi>"),
        ("5.25", "<mn>5.25</mn>"),
    ],
)
def test_tex_becomes_the_mathml_one_writes_by_hand(tex, expected):
    assert shape(tex) == expected


def test_a_displayed_sum_has_its_limits_below_and_above():
    assert "<munderover>" in shape(r"\sum_{i=1}^n x_i", display=True)
    assert "<msubsup>" in shape(r"\sum_{i=1}^n x_i")


def test_rows_and_cases_are_tables():
    assert shape(r"\begin{cases}1 & x>0\\ 0 & x=0\end{cases}").count("<mtr>") == 2


@pytest.mark.parametrize(
    "tex", [r"\foo", "{a", "a}", "a^", r"\frac{a}", r"\left(a", r"\begin{matrix}a\end{matrix}", "&"]
)
def test_what_is_not_supported_is_an_error_that_says_so(tex):
    with pytest.raises(FormulaError):
        mathml(tex)


@pytest.mark.parametrize("tex", [r"a<b & c", r"\text{<script>}", 'x"y', r"\mathbf{<}", r"\left<a\right>"])
def test_every_formula_is_well_formed_xml_and_holds_no_foreign_tag(tex):
    try:
        text = mathml(tex)
    except FormulaError:
        return
    tags = {e.tag for e in ElementTree.fromstring(text).iter()}
    assert tags <= {"math", "mrow", "mi", "mo", "mn", "mtext", "msub", "msup"}
