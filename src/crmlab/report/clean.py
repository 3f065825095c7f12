"""Foreign HTML made safe and tidy: an allow-list of tags and attributes, no addresses that load, tables one can hear.

Whatever a notebook's prose or outputs hold is untrusted: a customer's name or a file's column can carry markup.
"""

import re
from functools import cache

import bleach
from bs4 import BeautifulSoup, Tag

_ALLOWED = """
a abbr b blockquote br caption code col colgroup dd del details div dl dt em figcaption figure h1 h2 h3 h4 h5 h6 hr i
img kbd li mark ol p pre q s samp small span strong sub summary sup table tbody td tfoot th thead tr u ul var
"""
_DROPPED = """
script style template iframe object embed noscript svg math head title link meta base textarea select button audio video
canvas applet frameset xmp plaintext
"""
TAGS = frozenset(_ALLOWED.split())
GONE = _DROPPED.split()
"""Elements dropped with all they hold; any other unknown element leaves its text behind."""

_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp|svg\+xml);base64,[A-Za-z0-9+/=\s]*\Z")
_SCHEME = re.compile(r"[a-z][a-z0-9+.\-]*:", re.IGNORECASE)


def clean(html: str) -> str:
    """`html` with allowed tags and attributes only; it can neither run anything nor load anything.

    Scripts, styles, event handlers, ids and pictures that are not in the page itself are dropped (a picture leaves its
    alternative text). Headings keep their level, except that ``h1`` becomes ``h2``. Tables get header scopes and may
    scroll sideways on a narrow screen.
    """
    soup = BeautifulSoup(html, "html.parser")
    for tag in soup.find_all(GONE):
        tag.decompose()
    for tag in soup.find_all(True):
        tag.attrs.pop("id", None)
    for tag in soup.find_all("h1"):
        tag.name = "h2"
    for tag in soup.find_all("img"):
        _picture(tag)
    for tag in soup.find_all("a"):
        _link(tag)
    for tag in soup.find_all("table"):
        _table(soup, tag)
    return _cleaner().clean(str(soup))


@cache
def _cleaner() -> bleach.Cleaner:
    attributes = {
        "*": ["class", "lang", "title"],
        "a": lambda _, name, value: (name == "href" and not _scheme(value)) or name in ("href", "rel"),
        "abbr": ["title"],
        "div": ["tabindex"],
        "img": lambda _, name, value: name in ("alt", "width", "height") or (name == "src" and bool(_embedded(value))),
        "ol": ["start"],
        "td": ["colspan", "rowspan"],
        "th": ["colspan", "rowspan", "scope"],
    }
    protocols = ["http", "https", "mailto", "data"]
    return bleach.Cleaner(tags=TAGS, attributes=attributes, protocols=protocols, strip=True, strip_comments=True)


def _embedded(address: object) -> bool:
    return isinstance(address, str) and bool(_PICTURE.match(address))


def _scheme(address: str) -> str:
    found = _SCHEME.match(re.sub(r"[\x00-\x20]", "", address))
    return found[0].lower() if found else ""


def _picture(tag: Tag) -> None:
    alt = str(tag.get("alt") or "")
    if _embedded(tag.get("src")):
        tag["alt"] = alt
    else:
        tag.replace_with(alt)


def _link(tag: Tag) -> None:
    address = str(tag.get("href") or "")
    scheme = _scheme(address)
    if scheme in ("http:", "https:") or address.strip().startswith("//"):
        tag["rel"] = "noopener noreferrer"
    elif scheme not in ("", "mailto:"):
        del tag["href"]


def _table(soup: BeautifulSoup, table: Tag) -> None:
    rows = table.select("tbody > tr") or table.find_all("tr")
    for row in rows:
        cells = row.find_all(["td", "th"], recursive=False)
        if cells and cells[0].name == "td" and "text" in cells[0].get("class", []):
            cells[0].name = "th"
        for cell in row.find_all("th", recursive=False):
            cell["scope"] = "row"
    for cell in table.find_all(["td", "th"]):
        if "right" in str(cell.get("style", "")):
            cell["class"] = [*cell.get("class", []), "number"]
    kinds = [cell.get("class", []) for cell in rows[-1].find_all(["td", "th"], recursive=False)] if rows else []
    for row in table.select("thead > tr"):
        cells = row.find_all(["td", "th"], recursive=False)
        for position, cell in enumerate(cells):
            cell.name = "th"
            cell["scope"] = "col"
            if len(cells) == len(kinds) and kinds[position]:
                cell["class"] = kinds[position]
    holder = table.find_parent("div", class_="scroll") or table.wrap(soup.new_tag("div", attrs={"class": "scroll"}))
    holder["tabindex"] = "0"
