"""A glTF scene as one cloud: its meshes where nodes put them, with the colours of corners, materials and pictures."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int64, Shaped

from modalink.errors import MediumError, shown
from modalink.modalities import _clouds, image
from modalink.modalities._clouds import Cloud, Counts
from modalink.modalities._gltf_file import Document

_POINTS, _LINES, _TRIANGLES, _STRIP, _FAN = 0, (1, 2, 3), 4, 5, 6
_GREY = 0.4
"""Of meshes without colour beside coloured ones."""
_SLACK = 1e-3
"""Share of the largest coordinate by which points may lie outside of what is said of them."""


class _Placed(NamedTuple):
    """A part of a mesh, and the 4 x 4 matrix that puts it where it is."""

    primitive: dict[str, Any]
    matrix: Float64[np.ndarray, "4 4"]


def counts(content: bytes, label: str) -> Counts:
    """How many points and triangles its meshes have, as often as they are placed."""
    document = Document(content, label)
    return _counted(document, _placed(document))


def cloud(content: bytes, label: str) -> Cloud:
    """All that its scene shows."""
    document = Document(content, label)
    placed = _placed(document)
    _clouds.check_counts(_counted(document, placed), label)
    parts = [_part(document, one, label) for one in placed]
    if not parts:
        raise MediumError(label, "empty", "shows no points and no triangles, needed some")
    surfaces = [part for part in parts if part.faces is not None]
    if surfaces and len(surfaces) < len(parts):
        raise MediumError(label, "unsupported", "mixes points and surfaces; save them in a file each")
    places = np.cumsum([0, *(len(part.points) for part in parts)])
    faces = [part.faces + start for part, start in zip(parts, places, strict=False) if part.faces is not None]
    return Cloud(
        np.concatenate([part.points for part in parts]), _joined(parts), np.concatenate(faces) if faces else None
    )


def _joined(parts: list[Cloud]) -> Float32[np.ndarray, "n 3"] | None:
    if all(part.colors is None for part in parts):
        return None
    grey = (np.full((len(part.points), 3), _GREY, np.float32) for part in parts)
    return np.concatenate([own if part.colors is None else part.colors for part, own in zip(parts, grey, strict=True)])


def _placed(document: Document) -> list[_Placed]:
    """The parts of all meshes of the scene; of a file without scenes, of all nodes."""
    nodes, scenes = document.rows("nodes"), document.rows("scenes")
    if scenes:
        roots = document.row("scenes", document.tree.get("scene", 0)).get("nodes", [])
    else:
        below = {child for node in nodes for child in _children(document, node)}
        roots = [number for number in range(len(nodes)) if number not in below]
    if not isinstance(roots, list):
        raise document.damaged("the nodes of its scene are no list")
    found: list[_Placed] = []
    seen: set[int] = set()
    waiting = [(number, np.eye(4)) for number in reversed(roots)]
    while waiting:
        number, above = waiting.pop()
        node = document.row("nodes", number)
        if number in seen:
            raise document.damaged(f"its node {number} stands below two others, or below itself")
        seen.add(number)
        matrix = above @ _matrix(document, node)
        if "mesh" in node:
            found += [_Placed(part, matrix) for part in _primitives(document, node["mesh"])]
        waiting += [(child, matrix) for child in reversed(_children(document, node))]
    return found


def _children(document: Document, node: dict[str, Any]) -> list[Any]:
    found = node.get("children", [])
    if not isinstance(found, list) or not all(type(child) is int for child in found):
        raise document.damaged("the children of a node are no list of numbers")
    return found


def _primitives(document: Document, mesh: Any) -> Iterator[dict[str, Any]]:
    rows = document.row("meshes", mesh).get("primitives")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise document.damaged(f"its mesh {shown(mesh)} has no parts")
    for row in rows:
        if row.get("mode", _TRIANGLES) not in _LINES:
            yield row


def _matrix(document: Document, node: dict[str, Any]) -> Float64[np.ndarray, "4 4"]:
    """What a node does to what stands below it."""
    if "matrix" in node:
        return _numbers_of(document, node, "matrix", 16).reshape(4, 4).T
    matrix = np.eye(4)
    if "rotation" in node:
        matrix[:3, :3] = _turn(_numbers_of(document, node, "rotation", 4))
    if "scale" in node:
        matrix[:3, :3] = matrix[:3, :3] * _numbers_of(document, node, "scale", 3)
    if "translation" in node:
        matrix[:3, 3] = _numbers_of(document, node, "translation", 3)
    return matrix


def _numbers_of(document: Document, node: dict[str, Any], key: str, count: int) -> Float64[np.ndarray, " n"]:
    values = node[key]
    fine = isinstance(values, list) and len(values) == count
    if not fine or not all(type(value) in (int, float) and abs(value) < 1e18 for value in values):
        raise document.damaged(f"it holds {key} that is no list of {count} numbers")
    return np.array(values, np.float64)


def _turn(quaternion: Float64[np.ndarray, "4"]) -> Float64[np.ndarray, "3 3"]:
    """The rotation of a unit quaternion x, y, z, w."""
    length = np.linalg.norm(quaternion)
    x, y, z, w = quaternion / (length or 1.0)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def _counted(document: Document, placed: list[_Placed]) -> Counts:
    points = faces = 0
    for primitive, _ in placed:
        corners = document.count(_attributes(document, primitive).get("POSITION"))
        points += corners
        mode = primitive.get("mode", _TRIANGLES)
        if mode != _POINTS:
            listed = document.count(primitive["indices"]) if "indices" in primitive else corners
            faces += listed // 3 if mode == _TRIANGLES else max(0, listed - 2)
    return Counts(points, faces)


def _attributes(document: Document, primitive: dict[str, Any]) -> dict[str, Any]:
    found = primitive.get("attributes")
    if not isinstance(found, dict):
        raise document.damaged("a part of a mesh has no points")
    return found


def _part(document: Document, placed: _Placed, label: str) -> Cloud:
    primitive, matrix = placed
    accessor = _attributes(document, primitive).get("POSITION")
    points = document.array(accessor, "f", (3,)).astype(np.float64)
    _check_bounds(document, document.row("accessors", accessor), points)
    colors = _colors(document, primitive, len(points), label)
    with np.errstate(all="ignore"):  # what becomes infinite is refused
        moved = points @ matrix[:3, :3].T + matrix[:3, 3]
    if primitive.get("mode", _TRIANGLES) == _POINTS:
        return Cloud(moved, colors)
    faces = _faces(document, primitive, len(points))
    if len(faces) and faces.max() >= len(points):
        raise document.damaged(f"a triangle has the corner {faces.max():,}, needed one of {len(points):,} points")
    return Cloud(moved, colors, faces)


def _check_bounds(document: Document, accessor: dict[str, Any], points: Float64[np.ndarray, "n 3"]) -> None:
    """Refuse points that lie elsewhere than the file says: their bytes are no longer those that were written."""
    if not {"min", "max"} <= accessor.keys():
        return
    least, most = (_numbers_of(document, accessor, key, 3) for key in ("min", "max"))
    slack = _SLACK * np.abs([least, most]).max()
    if not ((points >= least - slack) & (points <= most + slack)).all():
        raise document.damaged("its points lie outside of the bounds that it says")


def _faces(document: Document, primitive: dict[str, Any], points: int) -> Int64[np.ndarray, "f 3"]:
    mode = primitive.get("mode", _TRIANGLES)
    if "indices" in primitive:
        listed = document.array(primitive["indices"], "u", (1,))[:, 0].astype(np.int64)
    else:
        listed = np.arange(points)
    if mode == _TRIANGLES and len(listed) % 3 == 0:
        return listed.reshape(-1, 3)
    if mode == _STRIP and len(listed) >= 3:
        return np.stack([listed[:-2], listed[1:-1], listed[2:]], axis=1)
    if mode == _FAN and len(listed) >= 3:
        return np.stack([np.full(len(listed) - 2, listed[0]), listed[1:-1], listed[2:]], axis=1)
    raise document.damaged(f"{len(listed):,} corners are no triangles of the kind {shown(mode)}")


def _colors(
    document: Document, primitive: dict[str, Any], points: int, label: str
) -> Float32[np.ndarray, "n 3"] | None:
    """The colours of the corners, or those of the material there; None where nothing is said."""
    attributes = _attributes(document, primitive)
    if "COLOR_0" in attributes:
        found = document.array(attributes["COLOR_0"], "fu", (3, 4))
        return _clouds.scaled(_of_all(document, found, points)[:, :3], label)
    if "material" not in primitive:
        return None
    surface = document.row("materials", primitive["material"]).get("pbrMetallicRoughness", {})
    if not isinstance(surface, dict) or not {"baseColorFactor", "baseColorTexture"} & surface.keys():
        return None
    factor = _numbers_of(document, {"factor": [1, 1, 1, 1], **_renamed(surface)}, "factor", 4)[:3]
    colors = np.broadcast_to(np.clip(factor, 0, 1), (points, 3)).astype(np.float32)
    texture = surface.get("baseColorTexture")
    return colors if texture is None else colors * _pictured(document, texture, attributes, points, label)


def _renamed(surface: dict[str, Any]) -> dict[str, Any]:
    return {"factor": surface["baseColorFactor"]} if "baseColorFactor" in surface else {}


def _pictured(
    document: Document, texture: Any, attributes: dict[str, Any], points: int, label: str
) -> Float32[np.ndarray, "n 3"]:
    """The colours of a picture where the corners lie on it."""
    if not isinstance(texture, dict):
        raise document.damaged("the picture of a material is not told")
    row = document.row("textures", texture.get("index"))
    if "source" not in row:  # of a format that only an extension names
        return np.ones((points, 3), np.float32)
    pixels = np.asarray(image.read(document.image(row["source"]), f"{label}, picture {row['source']}"))
    channel = attributes.get(f"TEXCOORD_{texture.get('texCoord', 0)}")
    if channel is None:
        raise document.damaged("its corners have no places on the picture of their material")
    places = _of_all(document, document.array(channel, "fu", (2,)), points).astype(np.float64)
    if not np.isfinite(places).all():
        raise document.damaged("its corners have no finite places on a picture")
    columns, rows = (
        (places[:, axis] % 1 * size).astype(np.int64) % size
        for axis, size in ((0, pixels.shape[1]), (1, pixels.shape[0]))
    )
    return (pixels[rows, columns] / 255).astype(np.float32)


def _of_all(document: Document, values: Shaped[np.ndarray, "n c"], points: int) -> Shaped[np.ndarray, "n c"]:
    if len(values) != points:
        raise document.damaged(f"it tells something of {len(values):,} of {points:,} points")
    return values
