"""One job by crmlab in a process of its own: ``python fresh.py job.json``; see ``benchmarks/clv.py``."""

import json
import os
import resource
import sys
import time
from pathlib import Path


def cpu() -> float:
    """CPU seconds of this process and of those it has waited for."""
    return sum(os.times()[:4])


def posterior(job: dict) -> dict:
    """Fit one model to a history and hold its draws."""
    import numpy as np
    import pandas as pd

    from crmlab.clv.fitting.fit import fit
    from crmlab.clv.params import CLVParams

    history = pd.read_parquet(job["history"])
    imported = cpu()
    found = fit(history, job["model"], seed=job["seed"], name="benchmark", params=CLVParams())
    held, spent = time.time(), {"cpu": cpu(), "cpu_fit": cpu() - imported}
    np.savez(job["draws"], **found.draws)
    ess = found.table.set_index("parameter")[["ess_bulk", "ess_tail"]]
    said = {"passed": found.passed, "method": found.method, "k_hat": found.k_hat}
    return spent | said | {"held": held, "ess": ess["ess_bulk"].to_dict(), "fewest": float(ess.min(axis=None))}


def value(job: dict) -> dict:
    """Fit both models to a history and value every customer."""
    import pandas as pd

    from crmlab.clv.fitting.fit import fit
    from crmlab.clv.params import CLVParams
    from crmlab.clv.value.predict import lifetime_value

    params = CLVParams()
    history = pd.read_parquet(job["history"])
    read = cpu()
    purchases = fit(history, "bgnbd", seed=job["seed"], name="benchmark", params=params)
    timed = cpu()
    spend = fit(history, "gamma_gamma", seed=job["seed"], name="benchmark", params=params)
    fitted = cpu()
    found = lifetime_value(history, purchases, spend, params=params)
    held, valued = time.time(), cpu()
    table = found.table[["clv_low", "clv", "clv_high"]]
    return {
        "held": held,
        "cpu": valued,
        "parts": {"start": read, "BG/NBD": timed - read, "Gamma-Gamma": fitted - timed, "values": valued - fitted},
        "customers": int(table.notna().all(axis=1).sum()),
        "method": purchases.method,
        "fewest": float(purchases.table[["ess_bulk", "ess_tail"]].min(axis=None)),
    }


if __name__ == "__main__":
    job = json.loads(Path(sys.argv[1]).read_text())
    done = {"posterior": posterior, "value": value}[job["what"]](job)
    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    Path(job["report"]).write_text(json.dumps(done | {"peak_kb": max(peaks)}))
