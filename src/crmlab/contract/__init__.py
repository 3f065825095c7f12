"""What every room shares: parameters, results, words, faults and randomness. Imports nothing above it."""

from crmlab.contract.faults import CrmlabError, Failing, Fault, GateFailed, Locked, Refused, visible
from crmlab.contract.params import Params
from crmlab.contract.result import Basis, Result
from crmlab.contract.seeds import generator
from crmlab.contract.words import Sentence, language, localise, mark, say, use

__all__ = [
    "Basis",
    "CrmlabError",
    "Failing",
    "Fault",
    "GateFailed",
    "Locked",
    "Params",
    "Refused",
    "Result",
    "Sentence",
    "generator",
    "language",
    "localise",
    "mark",
    "say",
    "use",
    "visible",
]
