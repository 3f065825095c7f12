"""Run a loop notebook: in a kernel of its own by papermill, or cell by cell in this process for simulations."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat

from crmlab.contract import CrmlabError, Failing, GateFailed, Locked, Refused

EXIT_CODES = {kind.__name__: kind.exit_code for kind in (Refused, GateFailed, Failing, Locked, CrmlabError)}


class Stopped(Exception):
    """A notebook stopped before its end: what it said, the exit code that means, and how far it came."""

    def __init__(self, message: str, exit_code: int, notebook: nbformat.NotebookNode | None) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code
        self.notebook = notebook


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

    headings = _headings(nbformat.read(path, as_version=4))

    class Watched(NBClientEngine):
        """Papermill's own engine, telling which cell it starts."""

        kept: Any = None

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> Any:
            cls.kept, start = nb_man, nb_man.cell_start
            total = len(nb_man.nb.cells)

            def cell_start(cell: Any, cell_index: int | None = None, **more: Any) -> Any:
                tell((cell_index or 0) + 1, total, headings.get(cell.source, ""))
                return start(cell, cell_index, **more)

            nb_man.cell_start = cell_start
            return super().execute_managed_notebook(nb_man, kernel_name, **kwargs)

    papermill_engines.register("crmlab", Watched)
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
            extra_arguments=["--log-level=CRITICAL"],
        )
    except PapermillExecutionError as error:
        raise Stopped(_said(error), _code(error), _plain(Watched.kept.nb)) from None
    except Exception as error:  # a killed kernel shows up under many names
        notebook = _plain(Watched.kept.nb) if Watched.kept else None
        raise Stopped(f"its kernel stopped: {type(error).__name__}: {error}", 1, notebook) from error
    return _plain(done)


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


def _said(error: Any) -> str:
    """The fault a cell raised, as it was meant for people; other errors by their name."""
    if error.ename in EXIT_CODES:
        return str(error.evalue)
    return f"cell {error.exec_count or error.cell_index} raised {error.ename}: {error.evalue}"


def _code(error: Any) -> int:
    if error.ename == "OSError" and "No space left" in str(error.evalue):
        return Failing.exit_code
    return EXIT_CODES.get(error.ename, 1)


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
