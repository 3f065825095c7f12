"""Faults a person can mend, and the exit codes they end in."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: where it is, what was found and expected, how to mend it."""

    where: str
    what: str


def visible(text: str) -> str:
    """`text` with each sign that does not show, or would steer a terminal, written out."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


class CrmlabError(Exception):
    """A fault of the user's input, data or machine: shown without a traceback.

    Parameters
    ----------
    subject
        The file or thing that is at fault, for example ``params/x.yaml``.
    faults
        All that is wrong with it, not only the first.
    """

    exit_code = 1

    def __init__(self, subject: str, faults: list[Fault] | list[tuple[str, str]] | str) -> None:
        if isinstance(faults, str):
            faults = [Fault("", faults)]
        faults = [f if isinstance(f, Fault) else Fault(*f) for f in faults]
        self.subject = visible(subject)
        self.faults = [Fault(visible(f.where), visible(f.what)) for f in faults]
        super().__init__(str(self))

    def __str__(self) -> str:
        if len(self.faults) == 1 and not self.faults[0].where:
            return f"{self.subject}: {self.faults[0].what}"
        width = max(len(f.where) for f in self.faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        lines = [f"  {f.where:<{width}}  {f.what}" for f in self.faults]
        return "\n".join([f"{self.subject}: {count}", *lines])


class Refused(CrmlabError):
    """Input or parameters that are refused (exit 2)."""

    exit_code = 2


class GateFailed(CrmlabError):
    """A quality gate failed; no list is published (exit 3)."""

    exit_code = 3


class Failing(CrmlabError):
    """The disk or another device failed (exit 74)."""

    exit_code = 74


class Locked(CrmlabError):
    """Another run holds the study (exit 75)."""

    exit_code = 75
