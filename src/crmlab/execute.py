"""Run a loop notebook: in a kernel of its own by papermill, or cell by cell in this process for simulations."""

import json
import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import nbformat

from crmlab.contract import CrmlabError, Failing, GateFailed, Locked, Refused
from crmlab.cycle import CONTEXT, FINISHED
from crmlab.stage.content import digest_of
from crmlab.stage.context import Context, notebook_of
from crmlab.stage.disk import device_fault, fault_said, full_disk

PINNED = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "MPLBACKEND": "agg",
    "TZ": "UTC",
    "LC_ALL": "C.UTF-8",
    "JUPYTER_PLATFORM_DIRS": "1",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}
"""What every kernel of a run gets, so that the machine's settings change no result."""

EXIT_CODES = {kind.__name__: kind.exit_code for kind in (Refused, GateFailed, Failing, Locked, CrmlabError)}


class Stopped(Exception):
    """A notebook stopped before its end: what it said, the exit code that means, and how far it came."""

    def __init__(self, message: str, exit_code: int, notebook: nbformat.NotebookNode | None) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code
        self.notebook = notebook


def execute(
    context: Context, staged: Path, *, cwd: Path, pictures: bool, tell: Callable[[int, int, str], None]
) -> nbformat.NotebookNode | None:
    """Run a stage's notebook; it must hand its results over to `staged`, and nothing else counts.

    Parameters
    ----------
    context
        What the stage starts from.
    staged
        An empty folder (with ``tables``) for its results.
    cwd
        Where the notebook runs; the params file is named from there.
    pictures
        False: in this process, without plots and without a notebook to show.
    tell
        Called as ``tell(cell, cells, heading)``.

    Raises
    ------
    Stopped
        It stopped before its end, or handed over what is no longer there.
    Failing
        The disk is full, or fails.
    """
    handed = staged.with_name(f"{staged.name}.json")
    source, study = notebook_of(context.stage), os.path.relpath(context.study, cwd)
    # Start-up files of the user's own IPython are no part of a study.
    profile = tempfile.TemporaryDirectory(prefix="crmlab-ipython-", ignore_cleanup_errors=True)
    try:
        replace(context, staging=str(staged)).to_file(handed)
        with profile, _environment({CONTEXT: str(handed), "IPYTHONDIR": profile.name, **PINNED}):
            if pictures:
                notebook = in_kernel(source, study=study, cycle=context.cycle, cwd=cwd, tell=tell)
            else:
                notebook = in_process(source, study=study, cycle=context.cycle)
    finally:
        handed.unlink(missing_ok=True)
    if not (staged / FINISHED).is_file():
        raise Stopped("stopped before its last cell: its results were never handed over", 1, notebook)
    token = json.loads((staged / FINISHED).read_text(encoding="utf-8"))
    torn = [name for name, digest in token["files"].items() if digest_of(staged / name) != digest]
    if torn:
        raise Stopped(f"{', '.join(torn)} changed after it was handed over", 1, notebook)
    return notebook


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def in_kernel(
    path: Path, *, study: str, cycle: str, cwd: Path, tell: Callable[[int, int, str], None]
) -> nbformat.NotebookNode:
    """Execute a notebook with papermill in a kernel of its own.

    Returns
    -------
    nbformat.NotebookNode
        The executed notebook without times or paths.

    Raises
    ------
    Stopped
        With the notebook as far as it came.
    """
    import papermill
    from jupyter_client import AsyncKernelManager
    from papermill.engines import NBClientEngine, papermill_engines
    from papermill.exceptions import PapermillExecutionError

    class Local(AsyncKernelManager):
        """A kernel that talks over files of this user's, not over open ports."""

        transport = "ipc"

        async def _async_launch_kernel(self, kernel_cmd: list[str], **kw: Any) -> None:
            # What its libraries say of themselves while its process ends is nothing to tell a user.
            await super()._async_launch_kernel(kernel_cmd, **{**kw, "stderr": DEVNULL})

    headings = _headings(nbformat.read(path, as_version=4))

    class Watched(NBClientEngine):
        """Papermill's own engine, telling which cell it starts."""

        kept: Any = None
        begun = False

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> Any:
            cls.kept, start = nb_man, nb_man.cell_start
            total = len(nb_man.nb.cells)

            def cell_start(cell: Any, cell_index: int | None = None, **more: Any) -> Any:
                cls.begun = True
                tell((cell_index or 0) + 1, total, headings.get(cell.source, ""))
                return start(cell, cell_index, **more)

            nb_man.cell_start = cell_start
            return super().execute_managed_notebook(nb_man, kernel_name, **kwargs)

    papermill_engines.register("crmlab", Watched)
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # what becomes of a kernel is said once, by the stage
    again = True
    while True:
        try:
            done = papermill.execute_notebook(
                str(path),
                None,
                parameters={"study": study, "cycle": cycle},
                cwd=str(cwd),
                kernel_name="python3",
                engine_name="crmlab",
                progress_bar=False,
                log_output=False,
                kernel_manager_class=Local,
                extra_arguments=["--log-level=CRITICAL", "--HistoryManager.enabled=False"],
            )
        except PapermillExecutionError as error:
            raise Stopped(*_said(error), _plain(Watched.kept.nb)) from None
        except Exception as error:  # a killed kernel shows up under many names
            if fault := device_fault(error) or full_disk(cwd):
                raise fault from error
            if again and not Watched.begun:
                again = False  # it did not answer in time, or was killed before it could: a busy machine
                continue
            notebook = _plain(Watched.kept.nb) if Watched.kept else None
            raise Stopped(_killed(error), 1, notebook) from error
        return _plain(done)


def _killed(error: Exception) -> str:
    if type(error).__name__ == "DeadKernelError" or "Kernel died" in str(error):
        return "its kernel was killed, probably because memory ran out; the next run starts it again"
    return f"its kernel stopped: {type(error).__name__}: {error}"


def in_process(path: Path, *, study: str, cycle: str) -> None:
    """Run a notebook's code cells here, without pictures: the same tables, in a fraction of the time."""
    from crmlab.plots.frame import no_pictures

    space: dict[str, Any] = {"__name__": "__main__"}
    with no_pictures():
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type != "code":
                continue
            tagged = "parameters" in cell.metadata.get("tags", [])
            try:
                exec(compile(cell.source, str(path.name), "exec"), space)
            except CrmlabError as error:
                raise Stopped(str(error), error.exit_code, None) from error
            if tagged:
                space.update(study=study, cycle=cycle)


def _said(error: Any) -> tuple[str, int]:
    """The fault a cell raised, as it was meant for people, and its exit code; other errors by their name."""
    if error.ename in EXIT_CODES:
        return str(error.evalue), EXIT_CODES[error.ename]
    if fault := fault_said(error.ename, str(error.evalue)):
        return fault.faults[0].what, fault.exit_code
    return f"cell {error.exec_count or error.cell_index} raised {error.ename}: {error.evalue}", 1


def _headings(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """Source of each cell → the heading it stands under."""
    found, heading = {}, ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (match := re.search(r"^#+ +(.+)$", cell.source, re.MULTILINE)):
            heading = match[1]
        found[cell.source] = heading
    return found


def _plain(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without papermill's clock times, paths and cell ids made at random."""
    plain = nbformat.from_dict(notebook)
    plain.metadata.pop("papermill", None)
    for number, cell in enumerate(plain.cells):
        for name in ("papermill", "execution"):
            cell.metadata.pop(name, None)
        cell["id"] = f"cell-{number}"
    return plain
