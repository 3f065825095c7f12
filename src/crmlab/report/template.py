"""The templates: one environment, one style sheet, one language at a time."""

from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from crmlab import __version__
from crmlab.contract import language, say, use

FOLDER = Path(__file__).parent / "templates"


@contextmanager
def speaking(lang: str) -> Iterator[None]:
    """Within this, everything is said in `lang`."""
    before = language()
    use(lang)
    try:
        yield
    finally:
        use(before)


def render(name: str, **values: Any) -> str:
    """The template `name` in the language in use, with the style sheet inside and nothing outside."""
    style = (FOLDER / "style.css").read_text(encoding="utf-8")
    digest = "sha256-" + b64encode(sha256(style.encode()).digest()).decode()
    return (
        environment()
        .get_template(name)
        .render(lang=language(), style=Markup(style), style_digest=Markup(digest), version=__version__, **values)
    )


@cache
def environment() -> Environment:
    """Escape everything, refuse undefined names."""
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["say"] = say
    return made
