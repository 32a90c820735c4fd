"""One recipe on top of another: what `extends` and overrides do to plain data."""

from typing import Any

from modalink.yaml_files import Document, Loc, dotted

_KIND_KEYS = ("kind", "source")


def merge(base: Document, top: Document) -> Document:
    """Lay one document over another.

    Mappings merge key by key. Lists and single values replace what lies below. So does a mapping that names another
    `kind` than the one below, since the settings below belong to a different class.
    """
    places = dict(base.places)
    data = _merge(base.data, top.data, (), places, top.places)
    return Document(data, places)


def _merge(base: Any, top: Any, loc: Loc, places: dict[Loc, str], top_places: dict[Loc, str]) -> Any:
    places[loc] = top_places.get(loc, places.get(loc, ""))
    if isinstance(base, dict) and isinstance(top, dict) and not _other_kind(base, top):
        return base | {k: _merge(base.get(k), v, (*loc, k), places, top_places) for k, v in top.items()}
    for old in [p for p in places if p[: len(loc)] == loc]:
        del places[old]
    places.update({p: place for p, place in top_places.items() if p[: len(loc)] == loc})
    return top


def _other_kind(base: dict[Any, Any], top: dict[Any, Any]) -> bool:
    return any(key in base and key in top and base[key] != top[key] for key in _KIND_KEYS)


def changed_leaves(base: Any, top: Any, loc: Loc = ()) -> list[str]:
    """Paths of what `top` gives a new value in `base`."""
    if isinstance(base, dict) and isinstance(top, dict) and not _other_kind(base, top):
        return [path for k, v in top.items() for path in changed_leaves(base.get(k), v, (*loc, k))]
    return [] if base == top else [dotted(loc)]


def supersede(provenance: Any, changed: list[str], source: str) -> Any:
    """Provenance after some values have changed: entries that spoke of them go, and a wider entry is corrected."""
    if not isinstance(provenance, dict):
        return provenance
    kept = {p: s for p, s in provenance.items() if not any(inside(str(p), c) for c in changed)}
    return kept | {c: source for c in changed if any(inside(c, str(p)) for p in kept)}


def inside(path: str, outer: str) -> bool:
    """Whether a dotted path is another one, or leads further into it."""
    return path == outer or path.startswith(f"{outer}.")
