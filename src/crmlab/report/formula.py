r"""Formulas as MathML, which browsers set without JavaScript: the part of TeX that notebooks use.

Letters, numbers, scripts, ``\frac``, ``\sqrt``, accents, Greek, sums and integrals, named functions, ``\text``,
stretching brackets, and the environments ``aligned`` and ``cases``. What is not in this part is a `FormulaError` that
names it. Source: MathML Core (W3C).
"""

import re
import unicodedata
from collections import deque
from html import escape


class FormulaError(ValueError):
    """A formula uses a command that is not supported, or its braces do not match."""


_WORDS = r"\\(?:text|mathrm|operatorname|textit|mathit)\s*\{[^{}]*\}"
_TOKEN = re.compile(_WORDS + r"|\\begin\{\w+\*?\}|\\end\{\w+\*?\}|\\[A-Za-z]+|\\.|\d+(?:[.,]\d+)*|\s+|.", re.DOTALL)

_SMALL = """
alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi omega
"""
_CAPITAL = "gamma delta theta lambda xi pi sigma upsilon phi psi omega"
_SYMBOLS = {
    **{name: unicodedata.lookup(f"GREEK SMALL LETTER {name.replace('lambda', 'lamda')}") for name in _SMALL.split()},
    **{
        name.title(): unicodedata.lookup(f"GREEK CAPITAL LETTER {name.replace('lambda', 'lamda')}")
        for name in _CAPITAL.split()
    },
    "varepsilon": "ε",
    "varphi": "ϕ",
    "ell": "ℓ",
    "infty": "∞",
    "partial": "∂",
    "nabla": "∇",
    "emptyset": "∅",
    "ldots": "…",
    "dots": "…",
    "cdots": "⋯",
    "prime": "′",
}
_OPERATORS = {
    "le": "≤",
    "leq": "≤",
    "ge": "≥",
    "geq": "≥",
    "ne": "≠",
    "neq": "≠",
    "approx": "≈",
    "sim": "∼",
    "equiv": "≡",
    "propto": "∝",
    "in": "∈",
    "notin": "∉",
    "subset": "⊂",
    "cup": "∪",
    "cap": "∩",
    "to": "→",
    "rightarrow": "→",
    "leftarrow": "←",
    "Rightarrow": "⇒",
    "mapsto": "↦",
    "mid": "∣",
    "cdot": "⋅",
    "times": "×",
    "div": "÷",
    "pm": "±",
    "mp": "∓",
    "ll": "≪",
    "gg": "≫",
    "wedge": "∧",
    "vee": "∨",
    "lvert": "|",
    "rvert": "|",
    "vert": "|",
    "lfloor": "⌊",
    "rfloor": "⌋",
    "lceil": "⌈",
    "rceil": "⌉",
    "langle": "⟨",
    "rangle": "⟩",
    "{": "{",
    "}": "}",
    "%": "%",
    "$": "$",
    "_": "_",
    "&": "&",
    "#": "#",
}
_LARGE = {"sum": "∑", "prod": "∏", "int": "∫", "iint": "∬", "bigcup": "⋃", "bigcap": "⋂"}
_FUNCTIONS = {
    "log",
    "ln",
    "exp",
    "max",
    "min",
    "sup",
    "inf",
    "lim",
    "Pr",
    "arg",
    "argmax",
    "argmin",
    "det",
    "sin",
    "cos",
}
_FUNCTIONS |= {"tan", "tanh", "cosh", "sinh"}
_UNDER = {"max", "min", "sup", "inf", "lim", "argmax", "argmin", "sum", "prod", "bigcup", "bigcap"}
_ACCENTS = {"bar": "¯", "overline": "¯", "hat": "^", "widehat": "^", "tilde": "~", "dot": "˙", "vec": "→"}
_SPACES = {",": 0.167, ":": 0.222, ";": 0.278, "!": -0.167, " ": 0.25, "quad": 1, "qquad": 2}
_STYLES = {"mathbf": "BOLD", "boldsymbol": "BOLD", "mathcal": "SCRIPT", "mathbb": "DOUBLE-STRUCK"}


def mathml(tex: str, *, display: bool = False) -> str:
    """`tex` as one ``<math>`` element whose alternative text is the TeX itself.

    Parameters
    ----------
    tex
        The formula without its dollar signs.
    display
        Set it on a line of its own, with limits above and below.

    Raises
    ------
    FormulaError
        For a command that is not supported, or unmatched braces.
    """
    tokens = deque(t for t in _TOKEN.findall(tex.strip()) if not t.isspace())
    body = _row(tokens, display)
    if tokens:
        raise FormulaError(f"{tokens[0]!r} without a beginning in {tex!r}")
    mode = ' display="block"' if display else ""
    return f'<math{mode} alttext="{escape(tex.strip())}">{body}</math>'


def _row(tokens: deque[str], display: bool, stops: tuple[str, ...] = ()) -> str:
    """The atoms up to one of `stops` (left in place) or the end, as one row."""
    nodes: list[str] = []
    while tokens and tokens[0] not in stops and tokens[0] not in ("}", r"\right", "&", r"\\"):
        if tokens[0].startswith(r"\end{"):
            break
        nodes.append(_scripted(tokens, display))
    return f"<mrow>{''.join(nodes)}</mrow>"


def _scripted(tokens: deque[str], display: bool) -> str:
    """One atom with what hangs below and above it."""
    name = tokens[0].removeprefix("\\")
    base = "<mrow></mrow>" if tokens[0] in "^_" else _atom(tokens, display)
    below = above = None
    while tokens and tokens[0] in ("^", "_", "'"):
        token = tokens.popleft()
        if token == "'":
            above = "<mo>′</mo>"
        elif token == "_":
            below = _argument(tokens, display)
        else:
            above = _argument(tokens, display)
    over = display and name in _UNDER
    if below and above:
        tag = "munderover" if over else "msubsup"
        node = f"<{tag}>{base}{below}{above}</{tag}>"
    elif below:
        tag = "munder" if over else "msub"
        node = f"<{tag}>{base}{below}</{tag}>"
    elif above:
        tag = "mover" if over else "msup"
        node = f"<{tag}>{base}{above}</{tag}>"
    else:
        node = base
    spaced = name in _FUNCTIONS and tokens and tokens[0] not in ("(", "[", r"\left", "}", ")")
    return node + ('<mspace width="0.167em"></mspace>' if spaced else "")


def _argument(tokens: deque[str], display: bool) -> str:
    """What a command or a script applies to: a group in braces or one atom."""
    if not tokens:
        raise FormulaError("a formula ends where an argument should follow")
    return _atom(tokens, display)


def _atom(tokens: deque[str], display: bool) -> str:
    token = tokens.popleft()
    if token == "{":
        row = _row(tokens, display)
        _expect(tokens, "}")
        return row
    if token.startswith(r"\begin{"):
        return _environment(tokens, token[7:-1], display)
    if token.startswith("\\") and token.endswith("}") and len(token) > 2:
        return _words(token)
    if token.startswith("\\"):
        return _command(tokens, token[1:], display)
    if token[0].isdigit():
        return f"<mn>{token}</mn>"
    if token.isalpha():
        return f"<mi>{escape(token)}</mi>"
    if token == "~":
        return '<mspace width="0.25em"></mspace>'
    if token in "}^_&":
        raise FormulaError(f"unexpected {token!r}")
    return _operator({"-": "−", "*": "∗"}.get(token, token))


def _command(tokens: deque[str], name: str, display: bool) -> str:
    if name in _SYMBOLS:
        upright = ' mathvariant="normal"' if name.istitle() else ""
        return f"<mi{upright}>{_SYMBOLS[name]}</mi>"
    if name in _OPERATORS:
        return _operator(_OPERATORS[name])
    if name in _LARGE:
        return f'<mo largeop="{"true" if display else "false"}">{_LARGE[name]}</mo>'
    if name in _FUNCTIONS:
        return f"<mi>{name}</mi>" if len(name) > 1 else f'<mi mathvariant="normal">{name}</mi>'
    if name in _SPACES:
        return f'<mspace width="{_SPACES[name]}em"></mspace>'
    if name in ("frac", "tfrac", "dfrac"):
        return f"<mfrac>{_argument(tokens, display)}{_argument(tokens, display)}</mfrac>"
    if name == "binom":
        top, bottom = _argument(tokens, display), _argument(tokens, display)
        return f'<mrow><mo>(</mo><mfrac linethickness="0">{top}{bottom}</mfrac><mo>)</mo></mrow>'
    if name == "sqrt":
        if tokens and tokens[0] == "[":
            tokens.popleft()
            degree = _row(tokens, display, stops=("]",))
            _expect(tokens, "]")
            return f"<mroot>{_argument(tokens, display)}{degree}</mroot>"
        return f"<msqrt>{_argument(tokens, display)}</msqrt>"
    if name in _ACCENTS:
        return f'<mover accent="true">{_argument(tokens, display)}<mo>{escape(_ACCENTS[name])}</mo></mover>'
    if name in _STYLES:
        return "".join(f"<mi>{escape(_styled(c, _STYLES[name]))}</mi>" for c in _verbatim(tokens))
    if name == "left":
        return _fenced(tokens, display)
    raise FormulaError(f"\\{name} is not among the formulas' commands")


def _operator(sign: str) -> str:
    stretchy = ' stretchy="false"' if sign in "()[]{}|⌊⌋⌈⌉⟨⟩" else ""
    return f"<mo{stretchy}>{escape(sign)}</mo>"


def _fenced(tokens: deque[str], display: bool) -> str:
    left = _fence(tokens)
    row = _row(tokens, display)
    _expect(tokens, r"\right")
    return f"<mrow>{left}{row}{_fence(tokens)}</mrow>"


def _fence(tokens: deque[str]) -> str:
    if not tokens:
        raise FormulaError(r"\left or \right without a bracket")
    token = tokens.popleft()
    sign = _OPERATORS.get(token[1:], "") if token.startswith("\\") else token
    return f'<mo fence="true" stretchy="true">{escape(sign)}</mo>' if sign not in ("", ".") else ""


def _environment(tokens: deque[str], name: str, display: bool) -> str:
    if name not in ("aligned", "align", "align*", "cases", "equation", "equation*"):
        raise FormulaError(f"the environment {name} is not supported")
    rows = [[_row(tokens, display)]]
    while tokens and tokens[0] in ("&", r"\\"):
        if tokens.popleft() == "&":
            rows[-1].append(_row(tokens, display))
        else:
            rows.append([_row(tokens, display)])
    _expect(tokens, rf"\end{{{name}}}")
    cells = "".join("<mtr>" + "".join(f"<mtd>{cell}</mtd>" for cell in row) + "</mtr>" for row in rows)
    kind = "cases" if name == "cases" else "aligned"
    table = f'<mtable class="{kind}">{cells}</mtable>'
    return f'<mrow><mo fence="true" stretchy="true">{{</mo>{table}</mrow>' if name == "cases" else table


def _words(token: str) -> str:
    name, _, words = token.removeprefix("\\").removesuffix("}").partition("{")
    words = escape(words.replace("\\", ""))
    if name.strip() in ("text", "textit"):
        return f"<mtext>{words}</mtext>"
    upright = ' mathvariant="normal"' if len(words) == 1 and name.strip() != "mathit" else ""
    return f"<mi{upright}>{words}</mi>"


def _verbatim(tokens: deque[str]) -> str:
    """The characters of one group, as they are."""
    if not tokens:
        raise FormulaError("a formula ends where an argument should follow")
    if tokens[0] != "{":
        return tokens.popleft()
    tokens.popleft()
    letters = []
    while tokens and tokens[0] != "}":
        letters.append(tokens.popleft().removeprefix("\\"))
    _expect(tokens, "}")
    return "".join(letters)


def _styled(letter: str, style: str) -> str:
    kind = "CAPITAL" if letter.isupper() else "SMALL"
    for name in (f"MATHEMATICAL {style} {kind} {letter.upper()}", f"{style} {kind} {letter.upper()}"):
        try:
            return unicodedata.lookup(name)
        except KeyError:
            continue
    return letter


def _expect(tokens: deque[str], token: str) -> None:
    if not tokens or tokens.popleft() != token:
        raise FormulaError(f"{token!r} is missing")
