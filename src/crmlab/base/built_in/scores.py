"""Scores of recency, frequency and spend; they rank customers against each other."""

import ibis

from crmlab.base.register import Data, relation, trait
from crmlab.base.rfm import RFMParams, ranked
from crmlab.contract import mark


@relation("scores", source="transactions", one_each=True)
def _(data: Data) -> ibis.Table | None:
    return None if data.buyers is None else ranked(data.buyers, RFMParams(scores=data.params.scores))


@trait("r_score", kind="number", over="scores", meaning=mark("score of recency; the highest is the most recent"))
def _(scores: ibis.Table, data: Data) -> ibis.Value:
    return scores.r_score


@trait("f_score", kind="number", over="scores", meaning=mark("score of frequency; the highest orders most"))
def _(scores: ibis.Table, data: Data) -> ibis.Value:
    return scores.f_score


@trait("m_score", kind="number", over="scores", meaning=mark("score of spend; the highest spends most"))
def _(scores: ibis.Table, data: Data) -> ibis.Value:
    return scores.m_score
