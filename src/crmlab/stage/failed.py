"""What is left of a stage that failed, beside the study's stages."""

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmlab.stage.folder import folder_of

if TYPE_CHECKING:
    from nbformat import NotebookNode


def place_of_failure(study_folder: Path, cycle: str, stage: str) -> Path:
    """Where a failed stage's notebook is kept for diagnosis."""
    return study_folder / "failed" / f"{cycle}-{folder_of(stage)}"


def failure_of(study_folder: Path, cycle: str, stage: str) -> dict[str, Any] | None:
    """State, message and exit code of a stage that failed last time; None where none did, or it cannot be read."""
    try:
        text = (place_of_failure(study_folder, cycle, stage) / "failure.json").read_text(encoding="utf-8")
        found = json.loads(text)
        return {"state": str(found["state"]), "message": str(found["message"]), "exit_code": int(found["exit_code"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep_failure(
    study_folder: Path,
    cycle: str,
    stage: str,
    *,
    state: str,
    message: str,
    code: int,
    notebook: "NotebookNode | None",
) -> str:
    """Keep why a stage failed, and its notebook as far as it came; returns the message with the notebook's place."""
    folder = place_of_failure(study_folder, cycle, stage)
    staged = folder.with_name(f".staging-{os.getpid()}-{folder.name}")
    shutil.rmtree(staged, ignore_errors=True)
    try:
        staged.mkdir(parents=True)
        if notebook is not None:
            import nbformat  # takes seconds, and not every command meets a notebook

            nbformat.write(notebook, staged / "notebook.ipynb")
            message = f"{message} (the executed notebook: {os.path.relpath(folder / 'notebook.ipynb')})"
        why = {"state": state, "message": message, "exit_code": code}
        (staged / "failure.json").write_text(json.dumps(why), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        staged.rename(folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return message


def forget_failure(study_folder: Path, cycle: str, stage: str) -> None:
    """Remove what was kept of a failure, now that the stage is published."""
    shutil.rmtree(place_of_failure(study_folder, cycle, stage), ignore_errors=True)
