"""The registry of known sources: adding one is a module in `sets/` (or beside this) and a line here."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import ibis

from crmlab.contract import Params
from crmlab.data import simulated
from crmlab.data.raw import Raw
from crmlab.data.sets import bank_contacts, cdnow, complete_journey, hillstrom, online_retail


class Source(NamedTuple):
    """A known source: its options, and the function that reads it under canonical names."""

    options: type[Params]
    read: Callable[[ibis.BaseBackend, Params], Raw]


SOURCES: Mapping[str, Source] = {
    "bank_contacts": Source(bank_contacts.Options, bank_contacts.read),
    "cdnow": Source(cdnow.Options, cdnow.read),
    "complete_journey": Source(complete_journey.Options, complete_journey.read),
    "hillstrom": Source(hillstrom.Options, hillstrom.read),
    "online_retail": Source(online_retail.Options, online_retail.read),
    "simulated": Source(simulated.Options, simulated.read),
}
"""Name in a params file → source."""
