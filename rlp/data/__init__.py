"""Data: names and paths to episodes, episodes to replay arrays on the device."""

from dataclasses import replace
from pathlib import Path

from rlp.data.episodes import EpisodeSet, join
from rlp.data.formats import FORMATS
from rlp.errors import InputError, nearest

BUNDLED = Path(__file__).parent / "bundled"


def bundled_names() -> list[str]:
    """Returns the names of the data sets that come with rlp."""
    return sorted(str(f.relative_to(BUNDLED).with_suffix("")) for f in BUNDLED.glob("*/*.npz"))


def load(name_or_path: str) -> EpisodeSet:
    """Returns the data set of a bundled name or a path; `a+b` joins data sets.

    Raises:
        InputError: if there is no such data set, or it cannot be read.
    """
    parts = [name_or_path] if Path(name_or_path).exists() else name_or_path.split("+")
    return join([_load_one(part) for part in parts])


def _load_one(name_or_path: str) -> EpisodeSet:
    names = bundled_names()
    bundled = name_or_path in names
    path = BUNDLED / f"{name_or_path}.npz" if bundled else Path(name_or_path)
    if not path.exists():
        raise InputError(
            f"no data set {name_or_path}{nearest(name_or_path, names)}: "
            f"neither a path nor one of {', '.join(names)}"
        )
    for reader in FORMATS:
        if reader.matches(path):
            return replace(reader.read(path), name=name_or_path)
    looked_for = "; ".join(reader.LOOKS_FOR for reader in FORMATS)
    raise InputError(f"{path}: no data found there; looked for {looked_for}")
