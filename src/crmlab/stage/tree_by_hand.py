"""A tree written or edited by hand, held against what the study knows, before any notebook runs."""

from collections.abc import Mapping

import ibis
import pandas as pd

from crmlab.base.built_in.people import covariates
from crmlab.base.built_in.survey import items
from crmlab.base.traits import REGISTRY, TraitsParams
from crmlab.contract import Fault, Refused
from crmlab.params_file import placed
from crmlab.segments.nodes import Tree
from crmlab.segments.params import placed_in
from crmlab.segments.written import checked, from_plain, from_yaml
from crmlab.stage.folder import Published
from crmlab.study import Cycle, StudyFile


def tree_faults(
    file: StudyFile, cycle: Cycle, tables: Mapping[str, ibis.Table], before: Published | None
) -> list[Fault]:
    """What keeps the cycle from starting with the tree that was written for it; none where there is no such tree.

    Traits that there are not, or of another kind; ids that were given before and now stand for something new.

    Parameters
    ----------
    file, cycle
        The study and the cycle.
    tables
        Canonical tables, whose columns say which traits there are.
    before
        The re-analysis from which the cycle would start without a tree of its own.
    """
    segments, at = file.study.segments, f"segments.trees.{cycle.cycle}"
    plain = segments.trees.get(cycle.cycle)
    if plain is None and before is None:
        plain, at = segments.tree, "segments.tree"
    if plain is None:
        return []
    tree = from_plain(plain)
    faults = _reused(tree, from_yaml(before.text("segments_next.yaml"))) if before else []
    try:
        checked(tree, traits=_offered(tables, file.study.traits))
    except Refused as refused:
        faults += refused.faults
    found = placed_in(plain, faults, at)
    return [Fault(placed(fault.where, file.lines), fault.what) for fault in found]


def _reused(tree: Tree, before: Tree) -> list[Fault]:
    """Ids that an earlier tree gave away: a new node takes the next one that is free."""
    known = {n.id for n in before.nodes}
    faults = [
        Fault(n.id, f"was another segment in an earlier cycle; call this one s{max(tree.next_id, before.next_id)}")
        for n in tree.nodes
        if n.id not in known and n.number() < before.next_id
    ]
    if tree.next_id < before.next_id:
        what = f"is {tree.next_id}, but ids up to s{before.next_id - 1} were given: write {before.next_id}, or more"
        faults.append(Fault("next_id", what))
    return faults


def _offered(tables: Mapping[str, ibis.Table], params: TraitsParams) -> pd.DataFrame:
    """Name and kind of the traits that a study has, without computing any."""
    offered = REGISTRY | items(tables) | covariates(tables)
    kept = [t for t in offered.values() if params.include is None or t.name in params.include]
    return pd.DataFrame([(t.name, t.kind) for t in kept if t.name not in params.exclude], columns=["name", "kind"])
