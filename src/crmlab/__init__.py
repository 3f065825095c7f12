"""crmlab: a company's customer relationship, run as a repeated experiment."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["open_cycle"]


def __getattr__(name: str) -> Any:
    # Imported when asked for: the command line and the rooms below need not pay for it.
    if name == "open_cycle":
        from crmlab.opening import open_cycle

        return open_cycle
    raise AttributeError(f"module 'crmlab' has no attribute '{name}'")
