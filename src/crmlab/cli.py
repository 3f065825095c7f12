"""`crmlab`: the command line. It reads what was asked, calls the loop, and says what became of it."""

import os
import sys
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from crmlab.contract import CrmlabError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Run a company's customer relationship as a repeated experiment.",
)

STOPPED = 130
"""Exit code after Ctrl-C."""


class Through(StrEnum):
    """The last stage to run."""

    analysis = "analysis"
    activation = "activation"
    reanalysis = "reanalysis"


@app.callback()
def _front() -> None:
    """Run a company's customer relationship as a repeated experiment."""


@app.command()
def run(
    study: Annotated[Path, typer.Argument(help="The study's params file, for example params/shop.yaml.")],
    cycle: Annotated[str | None, typer.Option(help="Only this cycle.")] = None,
    through: Annotated[Through, typer.Option(help="The last stage to run.")] = Through.reanalysis,
    today: Annotated[
        str | None, typer.Option(help="What is due is decided from this day, YYYY-MM-DD. Default: the system's date.")
    ] = None,
    topic: Annotated[
        list[str] | None, typer.Option(help="Run this topic too, after the analysis; may be given several times.")
    ] = None,
    revise: Annotated[
        bool, typer.Option("--revise", help="Publish a revision beside a stage that would now come out differently.")
    ] = False,
) -> None:
    """Run what is due of a study, and publish it as pages."""
    from crmlab.loop import Asked, run_study

    asked = Asked(today=_day(today), cycle=cycle, through=through.value, revise=revise, topics=tuple(topic or ()))
    errors, console = Console(stderr=True), Console(soft_wrap=True)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.fields[where]:<24}"),
        BarColumn(bar_width=24),
        TextColumn("cell {task.completed:.0f}/{task.total:.0f} {task.fields[heading]}"),
        TimeElapsedColumn(),
        console=errors,
        transient=True,
    ) as progress:
        task = progress.add_task("", total=1, where="reading the data", heading="")

        def tell(cycle: str, stage: str, cell: int, cells: int, heading: str) -> None:
            where = f"{cycle} {stage}"
            progress.update(task, completed=cell, total=cells, where=where, heading=heading)
            if not errors.is_terminal and cell == 1:
                errors.print(f"{escape(where)}: {cells} cells")

        done = run_study(study, asked, tell=tell)
    _report(done, study, console, errors)
    raise typer.Exit(next((d.exit_code for d in done if d.exit_code), 0))


@app.command()
def check(
    study: Annotated[Path, typer.Argument(help="The study's params file, for example params/shop.yaml.")],
    as_json: Annotated[bool, typer.Option("--json", help="The same as data.")] = False,
) -> None:
    """Read everything a study reads, change nothing, and say what was found."""
    from crmlab.check import check_study

    checked = check_study(study)
    if told := checked.as_json() if as_json else _shorter(str(checked)):
        print(told)
    if checked.refusal:
        print(_shorter(str(checked.refusal)), file=sys.stderr)
    raise typer.Exit(checked.exit_code)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the study: params/NAME.yaml is written.")],
    folder: Annotated[Path, typer.Option("--from", help="Folder of the raw files.")],
) -> None:
    """Look at a folder of files and write a params file with a proposed mapping, to be read and mended."""
    from crmlab.draft import draft_study

    print(_shorter(draft_study(name, folder, into=Path("params"))))


@app.command()
def tree(
    study: Annotated[Path, typer.Argument(help="The study's params file.")],
    cycle: Annotated[str, typer.Argument(help="The cycle that is to start from the edited tree.")],
    to: Annotated[Path | None, typer.Option(help="File to write. Default: a new one beside the params file.")] = None,
) -> None:
    """Write the segment tree that a cycle starts from into a file, to be edited by hand."""
    from crmlab.tree_file import write_tree

    print(_shorter(write_tree(study, cycle, to=to)))


@app.command()
def export(
    study: Annotated[Path, typer.Argument(help="The study's params file.")],
    cycle: Annotated[str, typer.Argument(help="The cycle whose list is delivered.")],
    channel: Annotated[str, typer.Argument(help="The channel, for example email.")],
    form: Annotated[str, typer.Option("--format", help="What the sender reads.")] = "plain",
    today: Annotated[str | None, typer.Option(help="The day of delivery, YYYY-MM-DD. Default: the system's.")] = None,
) -> None:
    """Deliver a list with identity: consent and suppression are those of the day, changes are told."""
    from crmlab.delivery.export import export_list

    print(_shorter(export_list(study, cycle, channel, form=form, today=_day(today))))


@app.command()
def verify(
    cycle: Annotated[str, typer.Argument(help="The cycle whose published stages are executed again.")],
    study: Annotated[
        Path | None, typer.Option(help="The params file; default: the one of params/ that has it.")
    ] = None,
    stage: Annotated[str | None, typer.Option(help="Only this stage or topic.")] = None,
) -> None:
    """Execute published stages again in a scratch folder and compare every table."""
    from crmlab.verification import verify_cycle

    verified = verify_cycle(cycle, study=study, stage=stage)
    print(_shorter(str(verified)))
    raise typer.Exit(verified.exit_code)


@app.command()
def forget(
    customer: Annotated[str, typer.Argument(help="The customer's id as it stands in the raw data.")],
    study: Annotated[
        Path | None, typer.Option(help="The params file; default: the one of params/ that knows it.")
    ] = None,
    today: Annotated[str | None, typer.Option(help="The day of erasure, YYYY-MM-DD. Default: the system's.")] = None,
) -> None:
    """Erase a person everywhere; only a keyed hash is kept, so that nobody contacts them again."""
    from crmlab.forgetting import forget_customer

    print(_shorter(forget_customer(customer, study=study, today=_day(today))))


def _day(text: str | None) -> date:
    if text is None:
        return date.today()
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"got '{text}', expected a day such as 2017-05-08", param_hint="--today") from None


def _report(done: list, study: Path, console: Console, errors: Console) -> None:
    from crmlab.study import load_study

    colours = {"published": "green", "failed": "red", "refused": "red", "differs": "red", "waiting": "yellow"}
    for outcome in done:
        if outcome.state == "not yet due":
            continue
        where = errors if outcome.exit_code else console
        colour = colours.get(outcome.state, "dim")
        where.print(
            f"{outcome.cycle} {outcome.stage}: [{colour}]{outcome.state}[/] {escape(_shorter(outcome.message))}"
        )
    if coming := [d for d in done if d.state == "not yet due"]:
        first = min(coming, key=lambda d: d.due_on)
        console.print(f"Next due: {first.stage} of {first.cycle} on {first.due_on}.")
    index = load_study(study).reports / "index.html"
    console.print(f"The pages: {escape(str(index))}")


def _shorter(message: str) -> str:
    """Paths below the working folder are said from it."""
    return message.replace(f"{Path.cwd()}{os.sep}", "")


def main() -> None:
    """Entry point: every fault of the user's ends in one message and its exit code, without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # a file's name may hold bytes that are no text
    code = _told()
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` for one, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _told() -> int | str | None:
    """Run the command, say what went wrong, and return the exit code."""
    try:
        app(standalone_mode=True)
    except SystemExit as end:
        if end.code == STOPPED:
            print("stopped; what was published stays, the rest is run next time", file=sys.stderr)
        return end.code
    except KeyboardInterrupt:
        return STOPPED
    except Exception as error:
        from crmlab.stage.disk import device_fault

        fault = error if isinstance(error, CrmlabError) else device_fault(error)
        if fault is None:
            raise
        print(_shorter(str(fault)), file=sys.stderr)
        return fault.exit_code
    return 0
