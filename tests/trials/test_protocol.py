"""The protocol: everything decided is in its digest, the campaign carries it, nothing else is confirmatory."""

from datetime import date

import pytest
from pydantic import ValidationError

from crmlab.contract import Refused
from crmlab.trials.protocol import Protocol, ProtocolParams, campaign_id, from_yaml, protocol, protocol_result, role

GIVEN = {
    "study": "shop",
    "cycle": "2017-05",
    "as_of": date(2017, 5, 7),
    "window_days": 56,
    "seed": 7,
    "design": "observational",
    "mode": "replay",
    "tree_digest": "ab" * 32,
    "segments": ["s1", "s2"],
}


def made(params: dict | None = None, **given) -> Protocol:
    return protocol(ProtocolParams(**(params or {})), **(GIVEN | given))


def test_what_is_read_back_is_what_was_written():
    one = made({"holdout_by_segment": {"s2": 0.25}}, cycle="201705")
    assert from_yaml(one.to_yaml()) == one
    assert from_yaml(one.to_yaml()).digest() == one.digest()
    assert one.shares == {"s1": 0.1, "s2": 0.25}


def test_the_digest_changes_with_every_single_decision():
    changes = [
        {"params": {"tolerance": 0.04}}, {"params": {"alpha": 0.01}}, {"params": {"interval": 0.95}},
        {"params": {"power": 0.9}}, {"params": {"find_share": 0.6}}, {"params": {"holdout": 0.2}},
        {"params": {"holdout_by_segment": {"s1": 0.2}}}, {"params": {"contacted": "mailed"}},
        {"params": {"outcome": "spend"}}, {"params": {"secondary": ("spend",)}}, {"study": "b"}, {"cycle": "x"},
        {"seed": 8},
        {"as_of": date(2017, 5, 8)}, {"window_days": 28}, {"design": "randomised"}, {"tree_digest": "cd" * 32},
        {"segments": ["s1", "s3"]}, {"mode": "live", "design": "randomised"},
        {"params": {"primary": "level"}, "design": "randomised"},
    ]  # fmt: skip
    digests = [made().digest(), *(made(**c).digest() for c in changes)]
    assert len(set(digests)) == len(digests)
    assert made().digest() == made().digest()


def test_the_campaign_ends_in_eight_digits_of_the_digest():
    one = made()
    assert campaign_id(one, "shop", "2017-05") == f"shop-2017-05-{one.digest()[:8]}"


def test_levels_are_primary_where_contact_is_not_random_and_effects_where_it_is():
    seen = made({"secondary": ("spend",)})
    assert role(seen, "response", "level") == "primary"
    assert role(made(), "spend", "level") == "exploratory"
    assert role(seen, "spend", "level") == "secondary"
    assert role(seen, "response", "effect") == "exploratory"
    random = made({"secondary": ("spend",)}, design="randomised")
    assert role(random, "response", "effect") == "primary"
    assert role(random, "response", "level") == role(random, "spend", "effect") == "secondary"
    assert role(random, "orders", "level") == "exploratory"
    assert [h.role for h in random.hypotheses].count("primary") == 1


def test_an_effect_is_refused_where_nobody_is_withheld_at_random():
    with pytest.raises(Refused, match="not identified"):
        made({"primary": "effect"})


def test_a_share_for_a_segment_that_does_not_exist_is_refused():
    with pytest.raises(Refused, match="no such segment; there are: s1, s2"):
        made({"holdout_by_segment": {"s9": 0.2}})


@pytest.mark.parametrize(
    "wrong",
    [{"holdout": 1.0}, {"holdout_by_segment": {"s1": -1}}, {"contacted": "control"}, {"tolerance": 0}, {"alfa": 0.05}],
)
def test_parameters_that_cannot_hold_are_refused(wrong):
    with pytest.raises(ValidationError):
        ProtocolParams(**wrong)


def test_a_protocol_that_was_tampered_with_is_refused_or_has_another_digest():
    one = made()
    assert from_yaml(one.to_yaml().replace("tolerance: 0.05", "tolerance: 0.2")).digest() != one.digest()
    with pytest.raises(Refused, match="tolerance"):
        from_yaml(one.to_yaml().replace("tolerance: 0.05", "tolerance: wide"))


def test_it_is_shown_in_words():
    result = protocol_result(made())
    shown = dict(result.shown().to_numpy().tolist())
    assert shown["Tested first"] == "are customers of a segment alike in how often they respond"
    assert shown["Tolerance"].endswith("below 0.05")
    assert shown["Withheld at random"].startswith("10.0% of every segment")
    assert shown["Awaited"] == "answers of 56 days, from the day after 2017-05-07"
    assert shown["Seed"] == "7"
    assert shown["Campaign"] == campaign_id(made(), "shop", "2017-05")
    assert result.table.to_numpy().tolist() == result.shown().to_numpy().tolist()
    differing = protocol_result(made({"holdout_by_segment": {"s2": 0.25}})).shown()
    assert "by segment: s1 10.0%, s2 25.0%" in " ".join(differing["value"])
    assert "descriptive" in result._repr_html_()


def test_sentences_say_what_the_design_allows():
    def said(one):
        return str(protocol_result(one).sentences()[0])

    assert "effects of contact cannot" in said(made())
    assert "is identified" in said(made(design="randomised"))
    assert "Nobody is withheld" in said(made({"holdout": 0}, design="randomised"))
