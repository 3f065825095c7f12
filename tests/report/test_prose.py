from crmlab.report.prose import prose


def test_dollars_of_amounts_are_not_formulas():
    assert "<math" not in prose("It costs $5 and $10, not $ 7.").html


def test_formulas_are_set_and_code_is_left_alone():
    html = prose("Here $t_x$ and `$t_x$`.\n\n$$\nE[X]\n$$\n").html
    assert html.count("<math") == 2
    assert 'display="block"' in html
    assert "<code>$t_x$</code>" in html


def test_a_formula_that_is_not_known_stays_readable():
    assert '<code class="tex">\\foo{x}</code>' in prose(r"See $\foo{x}$.").html


def test_headings_get_anchors_that_are_free():
    written = prose("## Città & $x$\n\n## Città & $x$\n\n### Below", frozenset({"citta"}))
    assert [(h.level, h.anchor) for h in written.headings] == [(2, "citta-2"), (2, "citta-3"), (3, "below")]
    assert 'id="citta-2"' in written.html
    assert "<msub" not in written.headings[0].text
    assert "Città &amp; <math" in written.headings[0].text


def test_a_first_level_heading_steps_down_because_the_page_has_its_own():
    assert prose("# A").html.startswith('<h2 id="a">')


def test_links_leave_without_telling_where_from():
    assert 'rel="noopener noreferrer"' in prose("[paper](https://doi.org/10.1287/x)").html
    assert "rel=" not in prose("[above](#above)").html
