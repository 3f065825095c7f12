"""Put pages and indexes where they belong: what is on them comes from the published folders."""

from pathlib import Path
from typing import Any

import nbformat

from crmlab.contract import Refused, language, say, strict_yaml, use
from crmlab.report.index import reports_index, stage_name, study_index
from crmlab.report.page import page
from crmlab.stage.content import read_sealed, write_sealed, write_whole
from crmlab.stage.context import cut_of, resolved_params
from crmlab.stage.failed import failure_of, place_of_failure
from crmlab.stage.folder import NAMES, Published, folder_of, published
from crmlab.stage.heading import header
from crmlab.study import Cycle, StudyFile


def keep_files(file: StudyFile, cycle: Cycle, stage: str, staged: Path, notebook: nbformat.NotebookNode | None) -> None:
    """Add params, the executed notebook and the page to what a notebook handed over."""
    params = resolved_params(file.study, cycle, stage)
    (staged / "params.yaml").write_text(strict_yaml.dump(params), encoding="utf-8")
    if notebook is not None:
        nbformat.write(notebook, staged / "notebook.ipynb")
        write_page(file, cycle, stage, notebook, staged / "page.html")


def write_page(file: StudyFile, cycle: Cycle, stage: str, notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write the page of one executed notebook."""
    use(file.study.lang)
    title = f"{stage_name(folder_of(stage))} · {cycle.cycle}"
    facts, up = header(file, cycle.cycle, stage), "../../index.html"
    text = page(notebook, title=title, header=facts, lang=file.study.lang, index=up, notice=notice(file))
    path.write_text(text, encoding="utf-8")


def notice(file: StudyFile) -> str:
    """What every page of a study must say before anything else."""
    if file.study.mode != "replay":
        return ""
    if file.study.randomised:
        return say("A replay of history: whom to contact was left to chance, but the contacts were not ours.")
    return say(
        "A replay of history: the contacts were not ours, and not made at random. This describes; it proves no cause."
    )


def write_index(file: StudyFile, outcomes: list[Any], *, cycles: tuple[Cycle, ...]) -> None:
    """Rewrite the study's index and the index of all studies."""
    before = language()
    use(file.study.lang)
    study_folder = file.reports / file.study.study
    said = {(o.cycle, o.stage): o for o in outcomes}
    asked = list(dict.fromkeys([*NAMES, *file.study.topics, *_published_topics(study_folder)]))
    stages = [_stage(study_folder, c, s, said.get((c.cycle, s))) for c in cycles for s in asked]
    study = {
        "study": file.study.study,
        "title": file.study.title or file.study.study,
        "lang": file.study.lang,
        "header": _study_header(file),
        "index": "../index.html",
        "notice": notice(file),
        "href": f"{file.study.study}/index.html",
        "stages": stages,
    }
    write_whole(study_folder / "index.html", study_index(study, stages).encode())
    write_sealed(study_folder / "index.json", study)
    use("en")
    known = [_read(p) for p in sorted(file.reports.glob("*/index.json"))]
    write_whole(file.reports / "index.html", reports_index([study for study in known if study]).encode())
    use(before)


def _read(path: Path) -> dict[str, Any] | None:
    """What another study's run left for the index of all; one that cannot be read is left out until it runs again."""
    try:
        return read_sealed(path, why="what the index shows")
    except Refused:
        return None


def _published_topics(study_folder: Path) -> list[str]:
    found = {p.name.split(".")[0].removeprefix("topic_") for p in study_folder.glob("*/topic_*")}
    return sorted(found)


def _study_header(file: StudyFile) -> dict[str, str]:
    whole = header(file, next(iter(file.study.cycles)).cycle, "analysis")
    of_a_cycle = {say("cycle"), say("sees data through"), say("outcome window")}
    return {label: text for label, text in whole.items() if label not in of_a_cycle}


def _stage(study_folder: Path, cycle: Cycle, stage: str, outcome: Any) -> dict[str, Any]:
    """One stage as the index shows it."""
    there, damage = _readable(published(study_folder, cycle.cycle, folder_of(stage)))
    if outcome and outcome.state == "altered":
        there, damage = None, outcome.message
    failed = {"state": "failed", "message": damage} if damage else failure_of(study_folder, cycle.cycle, stage)
    failure = place_of_failure(study_folder, cycle.cycle, stage)
    state = "published" if there else failed["state"] if failed else _open_state(outcome)
    return {
        "cycle": cycle.cycle,
        "stage": folder_of(stage),
        "state": state,
        "href": _href(study_folder, there, failure),
        "as_of": str(cut_of(cycle, stage)),
        "due_on": str(outcome.due_on) if outcome and outcome.due_on else None,
        "message": (failed or {}).get("message") or (outcome.message if outcome and not there else ""),
        "figures": there.manifest["main"] if there else [],
        "changes": there.manifest["changes"] if there and stage == "analysis" else [],
        "revision": there.revision if there else 1,
    }


def _readable(there: Published | None) -> tuple[Published | None, str]:
    """The stage, if its manifest is what was published; otherwise what is wrong with it."""
    try:
        return (there, "") if there and there.manifest else (None, "")
    except Refused as error:
        return None, str(error)


def _open_state(outcome: Any) -> str:
    return outcome.state if outcome and outcome.state in {"not yet due", "waiting"} else "due"


def _href(study_folder: Path, there: Published | None, failure: Path) -> str | None:
    if there and (there.folder / "page.html").is_file():
        return (there.folder / "page.html").relative_to(study_folder).as_posix()
    if not there and (failure / "notebook.ipynb").is_file():
        return (failure / "notebook.ipynb").relative_to(study_folder).as_posix()
    return None
