"""Every text a page or plot can show, collected from where it is written, and the catalogue kept in step with it.

``python -m crmlab.report.messages`` rewrites ``contract/it.po``: translations are kept, new texts added empty, unused
texts dropped. What is collected:

- the first argument of ``say``, ``Sentence`` and ``mark``: a literal, either branch of a conditional, or a name that
  the same function assigns one to;
- a result's ``title``, ``note`` and the headings of its ``columns``, and of a ``columns`` given to ``frame_html``;
- what a ``Basis`` counts and its design; the title of ``axes`` and the labels of ``finish``;
- ``say`` in templates;
- whole Markdown cells of notebooks, and their code as any module's.
"""

import ast
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po
from jinja2.ext import extract_from_ast

from crmlab.report.template import environment

ROOT = Path(__file__).parents[3]
CATALOGUE = Path(__file__).parents[1] / "contract" / "it.po"
_FIRST = {"say": "text", "Sentence": "text", "mark": "text", "axes": "title"}
_NAMED = {"finish": ("x", "y"), "Basis": ("what", "design"), "basis": ("what", "design"), "axes": ("title",)}
_PLACED = {"Basis": (1, 4), "basis": (1, 2)}


def messages(root: Path = ROOT) -> dict[str, list[str]]:
    """English text → the files that say it, both sorted, files relative to `root`.

    Parameters
    ----------
    root
        The project: ``src/crmlab/**/*.py``, the templates in it, ``notebooks/**/*.ipynb``.
    """
    found: dict[str, set[str]] = {}
    for path, texts in _sources(Path(root)):
        for text in texts:
            if text.strip():
                found.setdefault(text, set()).add(path.relative_to(root).as_posix())
    return {text: sorted(found[text]) for text in sorted(found)}


def python_texts(source: str) -> list[str]:
    """The texts that one module can show, once each, in no particular order."""
    texts: set[str] = set()
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            known = _local_texts(node)
            texts.update(t for call in ast.walk(node) if isinstance(call, ast.Call) for t in _called(call, known))
        elif isinstance(node, ast.Call):
            texts.update(_called(node, {}))
        elif isinstance(node, ast.ClassDef):
            for statement in node.body:
                name, value = _assigned(statement)
                if name in ("title", "note"):
                    texts.update(_literals(value))
        name, value = _assigned(node)
        if name.lower().endswith("columns"):
            texts.update(_headings(value))
    return list(texts)


def template_texts(source: str) -> list[str]:
    """The texts that one template can show."""
    found = extract_from_ast(environment().parse(source), gettext_functions=("say",))
    firsts = [text[0] if isinstance(text, tuple) else text for _, _, text in found]
    return [text for text in firsts if isinstance(text, str)]


def notebook_texts(source: str) -> list[str]:
    """The Markdown cells of one notebook, whole, as `page` looks them up, and the texts of its code."""
    cells = [(c["cell_type"], "".join(c["source"]).strip()) for c in json.loads(source).get("cells", [])]
    texts = [text for kind, text in cells if kind == "markdown"]
    for kind, text in cells:
        if kind == "code":
            with suppress(SyntaxError):
                texts += python_texts(text)
    return texts


def updated(catalogue: Catalog, found: dict[str, list[str]]) -> Catalog:
    """A catalogue of exactly `found`, with the translations that `catalogue` has; no dates of its making."""
    epoch = datetime(2000, 1, 1, tzinfo=UTC)
    new = Catalog(
        locale="it", project="crmlab", header_comment="# Italian for crmlab.", creation_date=epoch, revision_date=epoch
    )
    new.last_translator, new.language_team = "crmlab", "crmlab"
    for text in sorted(found, key=lambda t: (found[t][0], t)):
        old = catalogue.get(text)
        string = str(old.string) if old is not None and old.string and not old.fuzzy else ""
        new.add(text, string, locations=[(file, None) for file in found[text]])
        new[text].flags.clear()
    return new


def read(path: Path = CATALOGUE) -> Catalog:
    """The catalogue as it stands."""
    with path.open("rb") as file:
        return read_po(file, locale="it")


def write(catalogue: Catalog, path: Path = CATALOGUE) -> None:
    """Write `catalogue` in an order that changes only with the texts."""
    with path.open("wb") as file:
        write_po(file, catalogue, width=110, sort_by_file=False, include_lineno=False, omit_header=False)


def main() -> None:
    """Bring the catalogue into step with the texts, and say what is left to translate."""
    catalogue = updated(read(), messages())
    write(catalogue)
    missing = [str(m.id) for m in catalogue if m.id and not m.string]
    print(f"{CATALOGUE}: {len(catalogue)} texts, {len(missing)} without a translation")
    sys.stdout.writelines(f"  {text!r}\n" for text in missing)


def _sources(root: Path) -> Iterator[tuple[Path, list[str]]]:
    package = root / "src" / "crmlab"
    for path in sorted(package.rglob("*.py")):
        yield path, python_texts(path.read_text(encoding="utf-8"))
    for path in sorted(package.rglob("templates/**/*.html")):
        yield path, template_texts(path.read_text(encoding="utf-8"))
    for path in sorted((root / "notebooks").rglob("*.ipynb")):
        if ".ipynb_checkpoints" not in path.parts:
            yield path, notebook_texts(path.read_text(encoding="utf-8"))


def _called(call: ast.Call, known: Mapping[str, list[str]]) -> list[str]:
    """The texts among a call's arguments; `known` are those its function gives a name to."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    given = {k.arg: k.value for k in call.keywords if k.arg}
    texts: list[str] = []
    if name in _FIRST:
        texts += _literals(call.args[0] if call.args else given.get(_FIRST[name]), known)
    for position in _PLACED.get(name, ()):
        texts += _literals(call.args[position] if len(call.args) > position else None)
    for argument in _NAMED.get(name, ()):
        texts += _literals(given.get(argument))
    if name == "frame_html":
        texts += _headings(call.args[1] if len(call.args) > 1 else given.get("columns"))
    return texts


def _local_texts(function: ast.FunctionDef) -> dict[str, list[str]]:
    """Name → the literal texts that `function` assigns to it."""
    texts: dict[str, list[str]] = {}
    for node in ast.walk(function):
        name, value = _assigned(node)
        texts.setdefault(name, []).extend(_literals(value))
    return texts


def _assigned(node: ast.AST) -> tuple[str, ast.expr | None]:
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id, node.value
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id, node.value
    return "", None


def _headings(node: ast.expr | None) -> list[str]:
    """The first element of each pair in a table's columns; nested and merged dictionaries too."""
    if node is None:
        return []
    pairs: Iterable[ast.expr] = [v for d in ast.walk(node) if isinstance(d, ast.Dict) for v in d.values]
    return [text for pair in pairs if isinstance(pair, ast.Tuple) and pair.elts for text in _literals(pair.elts[0])]


def _literals(node: ast.expr | None, known: Mapping[str, list[str]] | None = None) -> list[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.IfExp):
        return _literals(node.body, known) + _literals(node.orelse, known)
    if isinstance(node, ast.Name) and known:
        return known.get(node.id, [])
    return []


if __name__ == "__main__":
    main()
