"""Take a study's raw data in: under pseudonyms, without those erased, with what was delivered."""

import os
import re
from datetime import date
from pathlib import Path
from typing import Any

import ibis

from crmlab.contract import Fault, Refused
from crmlab.data import intake as data_intake
from crmlab.data.drift import Shape, drift, news, schema_of
from crmlab.data.schema import NOBODY
from crmlab.data.totals import campaigns
from crmlab.stage.erased import accounted, erased, without
from crmlab.stage.folder import NAMES, Published, stages_of
from crmlab.stage.inputs import Intake, connect
from crmlab.stage.keys import fingerprint, known_key, study_key
from crmlab.stage.ledger import ledger, with_ledger
from crmlab.stage.people import renamed
from crmlab.stage.quarantine import of_others
from crmlab.study import StudyFile
from crmlab.trials.protocol import campaign_id
from crmlab.trials.protocol import from_yaml as read_protocol


def take_in(file: StudyFile) -> Intake:
    """Read the raw data of a study into canonical tables under pseudonyms.

    Raises
    ------
    Refused
        The data cannot be read, contacts name a list that was never published, or the study's key is not the one
        under which its stages were published.
    """
    study, study_folder = file.study, file.reports / file.study.study
    key = key_of(file)
    gone = erased(study_folder, key)
    con = connect()
    try:
        read = data_intake.read(study.data, folder=file.folder, con=con, time_zone=study.time_zone)
    except Refused as refusal:
        raise Refused(shown(file.path), file.located(refusal.faults)) from None
    if not {"transactions", "customers"} & set(read.tables):
        raise Refused(shown(file.path), [Fault("data.files", NOBODY)])
    stages = stages_of(study_folder)
    shape, before = schema_of(read.tables), _shape_before(stages)
    if faults := drift(before, shape, _dropped(file, before)):
        raise Refused(shown(file.path), faults)
    told = (*read.notes, *(news(before, shape) if before else ()))
    tables, called = renamed(read.tables, key, con)
    tables, lost = without(tables, gone, con)
    if study.mode == "live":
        sent = ledger(study_folder)
        contacts = with_ledger(tables.get("contacts"), sent[~sent["customer_id"].isin(gone)], con)
        if contacts is not None:
            tables["contacts"] = con.create_table("contacts_and_ledger", contacts, temp=True)
            _refuse_unknown_lists(file, contacts, stages)
    people = called.reset_index()
    return Intake(
        tables,
        accounted(read.reading, lost),
        con,
        notes=[[n.text, _plain(n.values), n.tone] for n in told],
        schema=shape,
        people=people[~people["pseudonym"].isin(gone)],
        bad=of_others(read.bad, gone, key),
        erased=gone,
    )


def key_of(file: StudyFile) -> bytes:
    """The study's key; refused where a live study's stages were published under another.

    Under another key everybody would have another name and another arm: who was withheld would be contacted.
    """
    key, study_folder = known_key(file.study), file.reports / file.study.study
    stages = stages_of(study_folder) if file.study.mode == "live" else []
    if other := [s.folder for s in stages if key is None or s.manifest["key"] != fingerprint(key)]:
        found = "the study's key is missing" if key is None else "was published under another key"
        what = f"{found}; restore the key from a copy (it lies in CRMLAB_KEYS, or in the user's configuration)"
        raise Refused(shown(file.path), [Fault(str(folder), what) for folder in other[:1]])
    return study_key(file.study) if key is None else key


def _shape_before(stages: list[Published]) -> Shape:
    """The columns that the newest published analysis read: the one that sees the last day, and of those revised."""
    earlier = [s.manifest for s in stages if s.folder.name.startswith(NAMES["analysis"])]
    newest = max(earlier, key=lambda m: (m["identity"]["params"]["cycle"]["as_of"], m["revision"]), default={})
    return newest.get("schema", {})


def _dropped(file: StudyFile, before: Shape) -> dict[str, list[str]]:
    """Table → columns that the params file declares to be gone."""
    data = file.study.data
    columns = {table: list(described.dropped) for table, described in data.files.items()}
    return columns | {table: list(before[table]) for table in data.dropped if table in before}


def shown(path: Path) -> str:
    """A path as the user would write it from here."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _refuse_unknown_lists(file: StudyFile, contacts: ibis.Table, stages: list[Published]) -> None:
    """Refuse contacts of a list that looks like one of this study's and was never published by it."""
    study, study_folder = file.study.study, file.reports / file.study.study
    named = sorted(campaigns({"contacts": contacts}))
    ours = {c: m[1] for c in named if (m := re.fullmatch(rf"{re.escape(study)}-(.+)-[0-9a-f]{{8}}", c))}
    if not ours:
        return
    known = set()
    for stage in stages:
        if stage.folder.name.startswith(NAMES["activation"]):
            known.add(campaign_id(read_protocol(stage.text("protocol.yaml")), study, stage.manifest["cycle"]))
    faults = [
        Fault(f"contacts: {c}", f"names a list of cycle {cycle} that is not in {study_folder}; restore that folder")
        for c, cycle in ours.items()
        if c not in known
    ]
    if faults:
        raise Refused(shown(file.path), faults)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Values that pass to a kernel in a file: days as text."""
    return {name: str(v) if isinstance(v, date) else v for name, v in values.items()}
