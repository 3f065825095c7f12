"""Small simulated studies for tests of the whole loop."""

from collections.abc import Iterable
from pathlib import Path

import yaml

from crmlab.stage.keys import study_key
from crmlab.stage.people import pseudonym
from crmlab.study import load_study

COMPANY = {"n_customers": 3000, "weeks": 60, "seed": 3, "control_share": 0.2}
QUICK_CLV = {"draws": 300, "tune": 200, "chains": 2, "ess": 100, "r_hat": 1.05, "validation_weeks": 8}


def params_file(folder: Path, *, name: str = "world", options: dict | None = None, **changes: object) -> Path:
    """Write a params file of a simulated company with two cycles, and return its path."""
    study = {
        "study": name,
        "title": "A simulated company",
        "mode": "replay",
        "consent": "assumed",
        "design": "randomised",
        "seed": 11,
        "data": {"source": "simulated", "options": {**COMPANY, **(options or {})}},
        "cycles": [
            {"cycle": "first", "as_of": "2023-08-13", "outcome_window": "6w", "campaigns": ["s01"]},
            {"cycle": "second", "as_of": "2023-10-08", "outcome_window": "6w", "campaigns": ["s02"]},
        ],
        "protocol": {"primary": "level"},
        "segments": {"by": "frequency", "bands": 2},
        "clv": {"horizon_weeks": 26, "margin_share": 0.3, **QUICK_CLV},
        "activation": {"budget": 200, "cost_per_contact": 0.5},
        **changes,
    }
    path = folder / "params" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


def called(path: Path, ids: Iterable[str]) -> list[str]:
    """What customers are called in the tables that a study publishes."""
    key = study_key(load_study(path).study)
    return [pseudonym(key, i) for i in ids]
