"""Deliver a list: `crmlab export`. What is published decides who could be on it, what is known today who is."""

from datetime import date
from pathlib import Path

from crmlab.contract import Fault, Refused
from crmlab.data.consents import channel_named
from crmlab.data.identity import read_identity
from crmlab.delivery.choose import Chosen, choose
from crmlab.delivery.files import files_of, ledger_of
from crmlab.delivery.formats import needed
from crmlab.delivery.today import day_of, earlier_of, erased_of, people_of
from crmlab.stage.folder import Published, altered, folder_of, lock, published
from crmlab.stage.ledger import (
    ADDS,
    LEDGER,
    LIST,
    REMOVES,
    ROWS,
    Delivered,
    altered_deliveries,
    deliver,
    deliveries,
    ledger,
)
from crmlab.stage.people import pseudonyms
from crmlab.stage.taking import key_of, take_in
from crmlab.study import Cycle, StudyFile, load_study


def export_list(path: Path, cycle: str, channel: str, *, form: str, today: date) -> str:
    """Deliver a cycle's list for a channel and return what to tell the user.

    Only those whom the published assignment contacts are delivered, and of them those whom consents, suppression,
    erasures and caps of `today` allow; the control group never, and nobody twice in one campaign.

    Raises
    ------
    Refused
        A replay, a day outside the window, a list that is not published or was altered, no identity, no consent.
    """
    file = load_study(path)
    turn, channel = file.study.cycle_named(cycle), channel_named(channel)
    cycle = turn.cycle
    _refuse_what_cannot_be(file, turn, channel, form, today)
    study_folder = file.reports / file.study.study
    _list_of(study_folder, path, cycle)
    with lock(study_folder):
        activation = _list_of(study_folder, path, cycle)
        if faults := [*altered(activation), *altered_deliveries(study_folder)]:
            raise Refused(f"list of {cycle}", faults)
        assignment, plan = activation.table("assignment"), activation.table("plan").set_index("customer_id")
        if assignment.empty:
            raise Refused(f"list of {cycle}", "is empty: nobody was chosen, and there is nothing to deliver")
        campaign = str(assignment["campaign_id"].iloc[0])
        past = _earlier_of(study_folder, cycle, campaign, today)
        same = [delivery for delivery in past if delivery.manifest["channel"] == channel]
        key, intake = key_of(file), take_in(file)
        identity = read_identity(file.study.data, file.folder, intake.con)
        called = pseudonyms(identity["customer_id"], key)
        people = people_of(identity, called, channel=channel, form=form, key=key)
        _refuse_without_address(people["usable"].any(), needed(form, channel))
        day = day_of(
            intake.tables,
            people,
            sent=ledger(study_folder),
            gone=erased_of(study_folder, people, key),
            channel=channel,
            campaign=campaign,
            params=file.study.eligibility,
            today=today,
            con=intake.con,
        )
        chosen = choose(assignment, people, day, earlier_of(past, same, people))
        if not (day.consenting or same):
            what = f"nobody's consent to '{channel}' is on record on {today}, and unknown consent is no consent"
            raise Refused("export", f"{what}; the lists of this study are for '{file.study.eligibility.channel}'")
        if not (chosen.listed or same):
            why = "; ".join(f"{reason}: {n:,}" for reason, n in chosen.held_back().items())
            raise Refused(f"list of {cycle}", f"nobody on it may be contacted by {channel} on {today} ({why})")
        if same and _unchanged(same[-1], chosen, form, today):
            return f"Nothing has changed since today's delivery, and nothing was written: {same[-1].folder}"
        texts, rows = files_of(chosen, people, form=form, channel=channel, campaign=campaign)
        gains = ledger_of(chosen, assignment, plan["cost"], as_of=turn.as_of, channel=channel, today=today)
        manifest = {
            "study": file.study.study,
            "cycle": cycle,
            "channel": channel,
            "format": form,
            "delivered_on": str(today),
            "campaign_id": campaign,
            "assignment": {"folder": activation.folder.name, "digest": activation.digest},
            "counts": {name: int((rows["file"] == name).sum()) for name in texts} | {"control": len(chosen.withheld)},
            "held_back": chosen.held_back(),
        }
        made = deliver(study_folder, manifest, texts=texts, tables={LEDGER: gains, ROWS: rows})
        marks, known = people["mark"].to_dict(), {at for delivery in past for at in delivery.reached}
        moved = sum((customer, marks.get(customer)) not in known for customer in chosen.removed)
    return _told(made, file, moved=moved)


def _refuse_what_cannot_be(file: StudyFile, cycle: Cycle, channel: str, form: str, today: date) -> None:
    subject, faults = f"list of {cycle.cycle}", []
    if file.study.mode != "live":
        what = "this study replays history, whose contacts were not ours: nothing of it can be delivered"
        raise Refused(subject, [Fault("mode", what)])
    needed(form, channel)
    if not channel:
        faults.append(Fault("CHANNEL", "is empty; name one, for example email"))
    if today <= cycle.as_of:
        faults.append(Fault("--today", f"{today} is not after {cycle.as_of}, the last day the list may see"))
    if today > cycle.window_end:
        what = f"{today} is after {cycle.window_end}, the end of the outcome window: answers would no longer count"
        faults.append(Fault("--today", f"{what}; run the next cycle"))
    if faults:
        raise Refused(subject, faults)


def _list_of(study_folder: Path, path: Path, cycle: str) -> Published:
    """The newest revision of the cycle's activation; one whose manifest is gone is not passed over for an older."""
    stage = folder_of("activation")
    folders = [folder for folder in (study_folder / cycle).glob(f"{stage}*") if folder.is_dir()]
    if torn := [f / "manifest.json" for f in folders if not (f / "manifest.json").is_file()]:
        raise Refused(f"list of {cycle}", [Fault(str(t), "is missing; restore it from a copy") for t in torn])
    found = published(study_folder, cycle, stage)
    if found is None:
        how = f"crmlab run {path} --cycle {cycle} --through activation"
        raise Refused(f"list of {cycle}", f"is not published yet; publish it first: {how}")
    return found


def _refuse_without_address(some: bool, keys: tuple[str, ...]) -> None:
    if not some:
        what = f"no customer has a usable {' or '.join(keys)}; map it, for example {keys[0]}: its name in the file"
        raise Refused("export", [Fault("files.customers.columns", what)])


def _earlier_of(study_folder: Path, cycle: str, campaign: str, today: date) -> list[Delivered]:
    """The deliveries of the cycle so far, which must be of the same campaign and not of a later day."""
    past = [delivery for delivery in deliveries(study_folder) if delivery.manifest["cycle"] == cycle]
    faults = [
        Fault(
            str(d.folder), f"delivered campaign {d.manifest['campaign_id']}, and the list published now is {campaign}"
        )
        for d in past
        if d.manifest["campaign_id"] != campaign
    ]
    faults += [
        Fault(str(d.folder), f"was delivered on {d.delivered_on}, after {today}; check --today")
        for d in past
        if d.delivered_on > today
    ]
    if faults:
        raise Refused(f"list of {cycle}", faults)
    return past


def _unchanged(last: Delivered, chosen: Chosen, form: str, today: date) -> bool:
    nothing = not (chosen.added or chosen.removed or chosen.withheld)
    return nothing and last.delivered_on == today and last.manifest["format"] == form


def _told(made: Delivered, file: StudyFile, *, moved: int) -> str:
    m = made.manifest
    explained = {
        LIST: "may be contacted",
        ADDS: "of them are new since the last delivery",
        REMOVES: "are to be taken off again",
        "control": "are withheld as control group, and in no file",
    }
    lines = [f"Delivered {m['cycle']} by {m['channel']} as {m['format']} on {m['delivered_on']}: {made.folder}"]
    lines += [f"  {name:<12}{m['counts'][name]:>9,}  {what}" for name, what in explained.items()]
    lines += [f"  {'held back':<12}{n:>9,}  {reason}" for reason, n in m["held_back"].items()]
    if moved:
        what = "to be taken off are no longer at the address the sender was given"
        lines.append(f"{moved:,} {what}: replace the sender's list by {LIST}.")
    extracted = file.study.data.extracted_on
    if extracted and str(extracted) < m["delivered_on"]:
        lines.append(f"The data cover the days to {extracted}: objections after that day are not known here.")
    lines.append(f"Name the campaign {m['campaign_id']} at the sender. Delete {LIST}, {ADDS} and {REMOVES} once they")
    lines.append("are sent; whom they named stays in the ledger, under pseudonyms.")
    return "\n".join(lines)
