"""The tree of a cycle as a file to be edited by hand: `crmlab tree`."""

from pathlib import Path

from crmlab.contract import Fault, Refused
from crmlab.data.paths import study_folder
from crmlab.segments.tree import from_yaml, leaves
from crmlab.stage.context import parents_of
from crmlab.stage.folder import folder_of, published
from crmlab.stage.taking import shown
from crmlab.study import Cycle, StudyFile, load_study

HEAD = """\
# The segment tree of {study}, {cycle}: {origin}.
# A customer is in the first branch whose rule is met, then in the first of its branches, and so on; siblings are tried
# in the order in which they stand, and the last of them takes everyone else (when: []). A condition is a trait and one
# of at_least, below, is: [...] or missing: true. A new node takes the id s<next_id>, and next_id goes up by one; an id
# that was ever used is not used again. Names, rules, order, new and deleted nodes: all can be edited, but for models.
"""


def write_tree(path: Path | str, cycle: str, *, to: Path | None = None) -> str:
    """Write the tree that a cycle starts from into a new file beside the params file, and say how to use it.

    It is the cycle's own once its analysis is published, and else the one that the last re-analysis left.

    Parameters
    ----------
    path
        The params file.
    cycle
        Name of the cycle.
    to
        The file to write; default: ``<study>_<cycle>_tree.yaml`` beside the params file.

    Raises
    ------
    Refused
        There is no such tree yet, the file is there already, or it would lie where the study cannot read it.
    """
    file = load_study(path)
    turn = file.study.cycle_named(cycle)
    text, origin = _tree_of(file, turn)
    tree = from_yaml(text)
    to = to or file.path.parent / f"{file.study.study}_{turn.cycle}_tree.yaml"
    head = HEAD.format(study=file.study.study, cycle=turn.cycle, origin=origin)
    _write(to, head + text, file)
    many = len(leaves(tree))
    name = to.resolve().relative_to(file.path.parent, walk_up=True)
    return "\n".join(
        [
            f"Wrote {shown(to.resolve())}: {origin}, {many} segment{'' if many == 1 else 's'}, "
            f"next free id s{tree.next_id}.",
            f"Edit it, and have {turn.cycle} start from it by these lines of {shown(file.path)}:",
            "segments:",
            "  trees:",
            f"    {turn.cycle}: {name.as_posix()}",
        ]
    )


def _tree_of(file: StudyFile, cycle: Cycle) -> tuple[str, str]:
    """The tree a cycle starts from, as published, and where it comes from."""
    if there := published(file.reports / file.study.study, cycle.cycle, folder_of("analysis")):
        return there.text("segments.yaml"), f"the tree that {cycle.cycle} was run with"
    if before := parents_of(file, cycle, "analysis").get("reanalysis"):
        return before.text("segments_next.yaml"), f"the tree that the re-analysis of {before.manifest['cycle']} left"
    how = f"crmlab run {shown(file.path)} --cycle {cycle.cycle} --through analysis"
    what = f"has no tree yet: it makes the first one itself; run it ({how}), or write one below segments.tree"
    raise Refused(f"cycle {cycle.cycle}", what)


def _write(to: Path, text: str, file: StudyFile) -> None:
    """A new file where the study may read it; nothing is ever overwritten."""
    root, real = study_folder(file.path.parent).resolve(), to.resolve()
    what = None
    if not real.is_relative_to(root):
        what = f"lies outside of {root}, where the study cannot read it; write it there"
    elif to.exists() or to.is_symlink():
        what = "is there already and is not overwritten; give another name with --to"
    elif not real.parent.is_dir():
        what = f"there is no folder {real.parent}; make it first"
    if what:
        raise Refused(str(to), [Fault("--to", what)])
    with to.open("x", encoding="utf-8") as written:
        written.write(text)
