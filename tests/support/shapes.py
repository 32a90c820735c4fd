"""Small shapes made by the tests, and files of them in every format, written by trimesh or by hand."""

import base64
import io
import json
import struct
from typing import Any

import numpy as np
import trimesh
from PIL import Image

BOX = trimesh.creation.box((2, 1, 0.5))


def ply(vertices: str, rows: str, *, more: str = "") -> bytes:
    """A PLY in text."""
    count = len(rows.strip().split("\n")) if rows else 0
    head = f"ply\nformat ascii 1.0\ncomment by hand\nelement vertex {count}\n{vertices}{more}end_header\n"
    return (head + rows).encode()


def mixed_ply(order: str = "<") -> bytes:
    """A binary PLY of a square and two triangles, with a number in front of each polygon and colours of points."""
    name = {"<": "little", ">": "big"}[order]
    head = (
        f"ply\nformat binary_{name}_endian 1.0\nelement vertex 5\nproperty double x\nproperty double y\n"
        "property double z\nproperty uchar red\nproperty uchar green\nproperty uchar blue\nelement face 3\n"
        "property uchar flag\nproperty list uchar int vertex_indices\nend_header\n"
    )
    corners = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0.5, 0.5, 1)]
    body = b"".join(struct.pack(f"{order}3d3B", *corner, 255, 0, 51) for corner in corners)
    for polygon in ((0, 1, 2, 3), (0, 1, 4), (1, 2, 4)):
        body += struct.pack(f"{order}BB{len(polygon)}i", 7, len(polygon), *polygon)
    return head.encode() + body


def gltf(**changes: Any) -> dict[str, Any]:
    """The tree of a glTF of one triangle, its data inside."""
    data = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "<f4").tobytes() + np.array([0, 1, 2, 0], "<u2").tobytes()
    return {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5123, "count": 3, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": 36},
            {"buffer": 0, "byteOffset": 36, "byteLength": 8},
        ],
        "buffers": [{"byteLength": len(data), "uri": "data:application/octet-stream;base64," + base64.b64encode(data).decode()}],
    } | changes  # fmt: skip


def pictured() -> dict[str, Any]:
    """The tree of a glTF of a triangle with a picture on it, turned and moved."""
    file = io.BytesIO()
    Image.new("RGB", (2, 2), (255, 0, 0)).save(file, "PNG")
    places = base64.b64encode(np.array([[0, 0], [1, 0], [0, 1]], "<f4").tobytes()).decode()
    tree = gltf()
    tree["buffers"].append({"byteLength": 24, "uri": "data:;base64," + places})
    tree["bufferViews"].append({"buffer": 1, "byteLength": 24, "byteStride": 8})
    tree["accessors"].append({"bufferView": 2, "componentType": 5126, "count": 3, "type": "VEC2"})
    part = tree["meshes"][0]["primitives"][0]
    part |= {"material": 0, "mode": 4, "attributes": {"POSITION": 0, "TEXCOORD_0": 2}}
    surface = {"baseColorFactor": [1, 1, 1, 1], "baseColorTexture": {"index": 0, "texCoord": 0}}
    return tree | {
        "nodes": [
            {"children": [1], "translation": [0, 0, 1]},
            {"mesh": 0, "rotation": [0, 0, 0, 1], "scale": [1, 2, 1]},
        ],
        "materials": [{"pbrMetallicRoughness": surface}],
        "textures": [{"source": 0}],
        "images": [{"uri": "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()}],
    }


def as_bytes(tree: dict[str, Any]) -> bytes:
    """A glTF file of a tree."""
    return json.dumps(tree).encode()


def glb(tree: dict[str, Any]) -> bytes:
    """The same in one piece."""
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    return struct.pack("<4sIIII", b"glTF", 2, 20 + len(text), len(text), 0x4E4F534A) + text


def npy(values: Any, **options: Any) -> bytes:
    """An array as NumPy saves it."""
    file = io.BytesIO()
    np.save(file, values, **options)
    return file.getvalue()


def npz(**arrays: Any) -> bytes:
    """Arrays as NumPy packs them."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def pcd(rows: np.ndarray, data: str) -> bytes:
    """Points with packed colours as PCL writes them."""
    packed = (rows[:, 3].astype(int) << 16 | rows[:, 4].astype(int) << 8 | rows[:, 5].astype(int)).astype("<u4")
    head = (
        "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F U\nCOUNT 1 1 1 1\n"
        f"WIDTH {len(rows)}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(rows)}\nDATA {data}\n"
    ).encode()
    if data == "ascii":
        lines = (f"{x:.6g} {y:.6g} {z:.6g} {color}" for (x, y, z), color in zip(rows[:, :3], packed, strict=True))
        return head + "\n".join(lines).encode() + b"\n"
    table = np.empty(len(rows), np.dtype([("place", "<f4", 3), ("color", "<u4")]))
    table["place"], table["color"] = rows[:, :3], packed
    return head + table.tobytes()


def every_format() -> dict[str, bytes]:
    """One small sound file of each kind."""
    cloud = np.random.default_rng(0).random((40, 6))
    cloud[:, 3:] = np.round(cloud[:, 3:] * 255)
    scene = trimesh.Scene([BOX, BOX.copy().apply_translation((5, 0, 0))])
    points = trimesh.PointCloud(cloud[:, :3], colors=cloud[:, 3:].astype(np.uint8))
    text = "\n".join(" ".join(f"{value:.5g}" for value in row) for row in cloud)
    axes = "".join(f"property float {axis}\n" for axis in "xyz")
    return {
        "ply": BOX.export(file_type="ply"),
        "ply-text": BOX.export(file_type="ply", encoding="ascii"),
        "ply-points": ply(axes, "\n".join(f"{x:.5f} {y:.5f} {z:.5f}" for x, y, z in cloud[:, :3])),
        "ply-mixed": mixed_ply(),
        "obj": BOX.export(file_type="obj").encode(),
        "off": BOX.export(file_type="off").encode(),
        "stl": BOX.export(file_type="stl"),
        "stl-text": BOX.export(file_type="stl_ascii").encode(),
        "glb": scene.export(file_type="glb"),
        "glb-points": points.export(file_type="glb"),
        "gltf": as_bytes(gltf()),
        "npy": npy(cloud.astype(np.float32)),
        "npz": npz(xyz=cloud[:, :3], rgb=cloud[:, 3:].astype(np.uint8)),
        "xyz": text.encode(),
        "pcd": pcd(cloud, "binary"),
        "pcd-text": pcd(cloud, "ascii"),
    }
