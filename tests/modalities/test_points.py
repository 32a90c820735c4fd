"""Point clouds and meshes: every format as trimesh has it, scenes and colours, and bad ones say what is wrong."""

import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image
from shapes import BOX, as_bytes, every_format, glb, gltf, mixed_ply, npy, npz, pcd, ply

from modalink.errors import MediumError
from modalink.modalities import _ply, points
from modalink.modalities.points import Cloud
from modalink.testing import check_modality

AXES = "property float x\nproperty float y\nproperty float z\n"
FACES = "element face 1\nproperty list uchar int vertex_indices\n"
SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.0]])


def refused(source: Any) -> tuple[str, str]:
    """The reason and the words with which a medium is refused."""
    with pytest.raises(MediumError) as caught:
        points.read(source, "sample 1")
    assert "sample 1" in str(caught.value)
    return caught.value.reason, str(caught.value)


def _sorted(rows: np.ndarray) -> np.ndarray:
    return rows[np.lexsort(np.round(rows, 5).T)]


@pytest.mark.parametrize("number", [0, 1])
def test_it_keeps_the_promises_of_a_modality(number: int) -> None:
    check_modality(points.RECORD, points.example(number))


@pytest.mark.parametrize("name", sorted(every_format()))
def test_formats_are_read_as_trimesh_has_them(name: str) -> None:
    """Difference 0.0 where numbers are binary, that of the digits written in text."""
    content = every_format()[name]
    handle = points.open_points(content)
    found = handle.read()
    assert (handle.num_points, len(found.points)) == (len(found.points), handle.num_points)
    kind = name.partition("-")[0]
    if kind in ("npy", "npz", "pcd", "xyz", "gltf") or name == "ply-mixed":
        return  # trimesh reads these otherwise or not at all; their numbers are compared below
    scene = trimesh.load_scene(io.BytesIO(content), file_type="stl" if kind == "stl" else kind, process=False)
    parts = [scene.geometry[name].copy().apply_transform(matrix) for matrix, name in map(scene.graph.get, scene.graph.nodes_geometry)]  # fmt: skip
    expected = np.concatenate([np.asarray(part.vertices) for part in parts])
    np.testing.assert_allclose(_sorted(found.points), _sorted(expected), atol=1e-5 if "text" in name else 1e-7)
    if found.faces is not None:
        triangles = np.concatenate([part.triangles for part in parts])
        corners = (found.points[found.faces], triangles)
        np.testing.assert_allclose(*(_sorted(each.reshape(-1, 9)) for each in corners), atol=1e-7)
    assert (found.faces is None) == ("points" in name)


def test_arrays_with_and_without_colours() -> None:
    rows = np.random.default_rng(0).random((9, 6))
    cloud = points.read(rows)
    np.testing.assert_array_equal(cloud.points, rows[:, :3])
    np.testing.assert_allclose(cloud.colors, rows[:, 3:], atol=1e-7)
    whole = np.column_stack([rows[:, :3], np.round(rows[:, 3:] * 255)])
    as_bytes_ = (whole[:, 3:] / 255).astype(np.float32)
    for source in (npy(whole), npz(points=rows[:, :3], colors=(rows[:, 3:] * 255).round().astype(np.uint8))):
        np.testing.assert_array_equal(points.read(source).colors, as_bytes_)
    for data, near in (("binary", 1e-7), ("ascii", 1e-5)):
        cloud = points.read(pcd(whole, data))
        np.testing.assert_allclose(cloud.points, rows[:, :3], atol=near)
        np.testing.assert_array_equal(cloud.colors, as_bytes_)
    assert points.read(rows[:, :3]).colors is None and points.read(rows[:, :4]).colors is None
    np.testing.assert_array_equal(points.read(npy(np.asfortranarray(rows))).points, rows[:, :3])


def test_normals_are_left_out_and_are_no_colours() -> None:
    normals = SQUARE - 0.5
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    text = "\n".join(",".join(f"{value:.6f}" for value in row) for row in np.hstack([SQUARE, normals]))
    assert points.read(text.encode()).colors is None
    both = points.read(np.hstack([SQUARE, normals, np.full((4, 3), 255.0)]))
    assert both.colors is not None and both.colors.min() == 1
    assert refused(np.hstack([SQUARE, 2 * normals]))[0] == "out_of_range"


@pytest.mark.parametrize("order", ["<", ">"])
def test_polygons_become_fans_and_colours_stay(order: str) -> None:
    cloud = points.read(mixed_ply(order))
    assert cloud.faces is not None and cloud.colors is not None
    assert sorted(map(tuple, cloud.faces.tolist())) == [(0, 1, 2), (0, 1, 4), (0, 2, 3), (1, 2, 4)]
    np.testing.assert_allclose(cloud.colors, [[1, 0, 0.2]] * 5, atol=1e-7)


def test_obj_of_every_spelling() -> None:
    text = (
        b"# by hand\nmtllib no.mtl\nv 0 0 0 1 0 0\nv 1 0 0 0 1 0\nv 1 1 0 0 0 1\nv 0 1 0 1 1 1\nvn 0 0 1\nusemtl red\n"
    )
    cloud = points.read(text + b"f 1//1 2//1 3//1 4//1\nf -4 -3 \\\n -2\n")
    assert cloud.faces is not None and sorted(map(tuple, cloud.faces.tolist())) == [(0, 1, 2), (0, 1, 2), (0, 2, 3)]
    np.testing.assert_array_equal(cloud.colors, [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])


def test_off_as_modelnet_spells_it() -> None:
    corners = "\n".join(" ".join(map(str, row)) for row in SQUARE)
    for head in ("OFF4 1 0", "OFF\n4 1 0", "# by hand\nOFF\n\n4 1 0"):
        assert points.read(f"{head}\n{corners}\n4 0 1 2 3\n".encode()).faces.tolist() == [[0, 1, 2], [0, 2, 3]]
    colored = "\n".join(" ".join([*map(str, row), "255 0 51 255"]) for row in SQUARE)
    np.testing.assert_allclose(points.read(f"COFF\n4 1 0\n{colored}\n3 0 1 2\n".encode()).colors, [[1, 0, 0.2]] * 4)


def test_scenes_lie_as_their_nodes_say() -> None:
    turned = {"mesh": 0, "rotation": [0, 0, np.sqrt(0.5), np.sqrt(0.5)], "scale": [2, 3, 1], "translation": [5, 0, 0]}
    nodes = [{"children": [1], "translation": [0, 0, 1]}, turned, {"mesh": 0}]
    cloud = points.read(as_bytes(gltf(nodes=nodes, scenes=[{"nodes": [0, 2]}])))
    expected = [[5, 0, 1], [5, 2, 1], [2, 0, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0]]
    np.testing.assert_allclose(cloud.points, expected, atol=1e-6)
    assert cloud.faces is not None and cloud.faces.tolist() == [[0, 1, 2], [3, 4, 5]]
    by_matrix = [{"mesh": 0, "matrix": [0, 2, 0, 0, -3, 0, 0, 0, 0, 0, 1, 0, 5, 0, 1, 1]}]
    np.testing.assert_allclose(points.read(as_bytes(gltf(nodes=by_matrix))).points, expected[:3], atol=1e-6)


def test_colours_of_materials_and_pictures() -> None:
    """The left corners lie on red, the right ones on blue; trimesh gives the same."""
    picture = Image.fromarray(np.array([[[255, 0, 0], [0, 0, 255]]] * 2, np.uint8))
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=picture, baseColorFactor=[255, 255, 255, 255])
    visual = trimesh.visual.TextureVisuals(uv=[[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]], material=material)
    mesh = trimesh.Trimesh(SQUARE, [[0, 1, 2], [0, 2, 3]], visual=visual, process=False)
    red, blue = [1, 0, 0], [0, 0, 1]
    np.testing.assert_array_equal(points.read(mesh.export(file_type="glb")).colors, [red, blue, blue, red])
    material.baseColorTexture, material.baseColorFactor = None, [51, 255, 0, 255]
    assert points.read(mesh.export(file_type="glb")).colors[0] == pytest.approx([0.2, 1, 0], abs=1e-6)


def test_a_texture_that_is_a_bomb_is_refused_by_its_header() -> None:
    bomb = Image.new("1", (2**14, 2**13))
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=bomb)
    visual = trimesh.visual.TextureVisuals(uv=np.zeros((4, 2)), material=material)
    mesh = trimesh.Trimesh(SQUARE, [[0, 1, 2]], visual=visual, process=False)
    reason, words = refused(mesh.export(file_type="glb"))
    assert reason == "too_large" and "picture 0" in words


@pytest.mark.parametrize(
    ("source", "reason", "words"),
    [
        (np.array([[0, 0, 0], [1, np.nan, 0]]), "not_finite", "NaN or infinite, of 1 of its 2 points"),
        (np.array([[0, 0, 0], [1, np.inf, 0]]), "not_finite", "NaN or infinite"),
        (np.array([[0, 0, 0], [1e30, 0, 0]]), "out_of_range", "as large as 1e\\+30"),
        (np.zeros((1, 3)), "degenerate", "holds one point"),
        (np.ones((7, 3)), "degenerate", "7 points at one place"),
        (np.zeros((0, 3)), "empty", "no points"),
        (np.zeros((5, 2)), "not_points", r"float64 with the shape \(5, 2\)"),
        (np.array([["a"] * 3]), "not_points", "needed numbers"),
        (Cloud(SQUARE, faces=np.array([[0, 1, 9]])), "damaged", "the corner 9, needed one of its 4 points"),
        (Cloud(SQUARE, faces=np.array([[0, 1, -1]])), "damaged", "the corner -1"),
        (Cloud(SQUARE, faces=np.array([[0, 0, 1], [2, 2, 2]])), "degenerate", "2 triangles without any area"),
        (Cloud(SQUARE, colors=np.ones((3, 3))), "damaged", "4 points and 3 colours"),
        (Cloud(SQUARE, colors=np.full((4, 3), 2.0)), "out_of_range", "colours from 2 to 2"),
        (npy(np.array([{"xyz": 1}], dtype=object), allow_pickle=True), "not_points", "a pickle"),
        (npz(points=np.array([{}], dtype=object)), "not_points", "a pickle"),
        (npz(left=SQUARE, right=SQUARE), "not_points", "the arrays left, right"),
        (npy(SQUARE)[:-8], "truncated", "88 of the 96 bytes"),
        (npy(SQUARE) + b"x", "damaged", "1 bytes behind"),
        (npy(SQUARE.astype(complex)), "not_points", "complex128"),
        (npz(points=SQUARE)[:-40], "damaged", "archive"),
        (b"this is no shape at all" * 9, "not_points", "none of the formats PLY, GLB"),
        (b"\x89PNG\r\n\x1a\n" + bytes(90), "not_points", "none of the formats"),
        (mixed_ply()[:-3], "truncated", "2 of the 3 rows of face"),
        (mixed_ply()[:-60], "truncated", "of the 5 rows of vertex|rows of face"),
        (mixed_ply() + b"xy", "damaged", "2 bytes behind"),
        (ply(AXES, "0 0 0\n1 0 0").replace(b"vertex 2", b"vertex 999999999999"), "too_large", "999,999,999,999 points"),
        (ply(AXES, "0 0 0\n1 0 0").replace(b"vertex 2", b"vertex 3"), "truncated", "2 of the 3 rows"),
        (ply(AXES, "0 0 0\n1 0 x"), "damaged", "no rows of as many numbers"),
        (ply(AXES, "0 0 0\n1 0"), "damaged", "no rows of as many numbers"),
        (ply(AXES.replace("z", "w"), "0 0 0\n1 0 0"), "damaged", "have no z"),
        (ply("", ""), "empty", "no points"),
        (ply(AXES, "0 0 0\n1 0 0")[:60], "damaged", "its header has no end"),
        (b"v 0 0 0\nv 1 0 0\nf 1 2\n", "damaged", "a polygon of 2 corners"),
        (b"v 0 0 0\nv 1 0 0\nf 1 2 3\n", "damaged", "the corner 2, needed one of its 2"),
        (b"v 0 0 0\nv 1 0 0\nf 0 1 2\n", "damaged", "the corner -1"),
        (b"v 0 0 0\nv 1 0 0\nxyzzy\n", "damaged", "'xyzzy', which says nothing"),
        (b"v 0 0 0\nv 1 0 nan\n", "not_finite", "NaN"),
        (b"v 0 0 0\nv 1 0 0\nf\n", "damaged", "which says nothing|polygon of 0"),
        (b"OFF\n4 1 0\n0 0 0\n", "truncated", "1 of the 5"),
        (b"OFF\nfour 1 0\n", "damaged", "how many"),
        (BOX.export(file_type="stl_ascii")[:-200].encode(), "truncated", "it has no end"),
        (BOX.export(file_type="glb")[:-4], "truncated", "bytes that it says"),
        (BOX.export(file_type="glb") + b"more", "damaged", "4 bytes behind"),
        (pcd(np.ones((3, 6)), "binary")[:-1], "truncated", "2 of the 3 points"),
        (pcd(np.ones((3, 6)), "binary_compressed"), "unsupported", "binary_compressed"),
        ("https://example.org/a.glb", "remote", "downloads nothing"),
        (object(), "unsupported", "found a object"),
    ],
)  # fmt: skip
def test_bad_ones_say_what_is_wrong(source: Any, reason: str, words: str) -> None:
    found = refused(source)
    assert found[0] == reason, found
    assert re.search(words, found[1]), found[1]


def test_a_cut_binary_stl_is_told_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "box.stl"
    path.write_bytes(BOX.export(file_type="stl")[:-7])
    assert refused(path)[0] == "truncated"
    path.write_bytes(b"short")
    assert refused(path)[0] == "truncated"


def test_content_decides_and_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "box.npy"
    path.write_bytes(BOX.export(file_type="glb"))
    assert points.open_points(path).extent == "8 points, 12 faces"


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"buffers": [{"byteLength": 44, "uri": "secret.bin"}]}, "outside", "at 'secret.bin', where nothing is opened"),
        ({"buffers": [{"byteLength": 44, "uri": "http://127.0.0.1:9/x"}]}, "outside", "127.0.0.1"),
        ({"buffers": [{"byteLength": 44, "uri": "file:///etc/passwd"}]}, "outside", "/etc/passwd"),
        ({"buffers": [{"byteLength": 44}]}, "damaged", "neither what they are nor where"),
        ({"buffers": [{"byteLength": 10**9, "uri": "data:;base64,AAAA"}]}, "truncated", "3 of the 1,000,000,000 bytes"),
        ({"extensionsRequired": ["KHR_draco_mesh_compression"]}, "unsupported", "KHR_draco_mesh_compression"),
        ({"asset": {"version": "1.0"}}, "unsupported", "'1.0', needed 2"),
        ({"nodes": [{"mesh": 0, "children": [0]}]}, "damaged", "below itself"),
        ({"nodes": [{"mesh": 7}]}, "damaged", "number 7 of its 1 meshes"),
        ({"nodes": [{"mesh": 0, "scale": [1, "a", 1]}]}, "damaged", "scale that is no list of 3 numbers"),
        ({"nodes": [{"mesh": 0, "scale": [0, 0, 0]}]}, "degenerate", "without any area"),
        ({"scenes": [{"nodes": []}]}, "empty", "no points"),
        ({"accessors": [{"componentType": 5126, "count": 10**12, "type": "VEC3"}] * 2}, "too_large", "1,000,000,000,000"),
        ({"accessors": [{"componentType": 5126, "count": 3, "type": "VEC3"}] * 2}, "damaged|unsupported", "sparse|type"),
        ({"bufferViews": [{"buffer": 0, "byteLength": 99}] * 2}, "damaged", "behind their end"),
    ],
)  # fmt: skip
def test_gltf_that_leads_outside_or_lies(changes: dict[str, Any], reason: str, words: str) -> None:
    for content in (as_bytes(gltf(**changes)), glb(gltf(**changes))):
        found = refused(content)
        assert re.search(reason, found[0]) and re.search(words, found[1]), found


def test_points_outside_of_the_bounds_of_a_gltf_are_damage() -> None:
    tree = gltf()
    tree["accessors"][0] |= {"min": [0, 0, 0], "max": [1, 1, 0]}
    assert len(points.read(as_bytes(tree)).points) == 3
    tree["accessors"][0]["max"] = [1, 0.5, 0]
    assert refused(as_bytes(tree))[0] == "damaged"


def test_surfaces_are_drawn_evenly_and_the_same_every_time() -> None:
    """The two long sides of a box of 2 x 1 x 0.5 are 2 x 2 of its area of 7; zero areas get no point."""
    faces = np.concatenate([BOX.faces, [[0, 0, 1]]])
    cloud = Cloud(np.asarray(BOX.vertices), faces=faces)
    found, colors = cloud.drawn(7000)
    assert colors is None and found.shape == (7000, 3)
    assert (np.abs(np.abs(found) - [1, 0.5, 0.25]).min(axis=1) < 1e-9).all()
    assert (np.abs(np.abs(found[:, 2]) - 0.25) < 1e-9).mean() == pytest.approx(4 / 7, abs=0.02)
    program = (
        "import numpy as np, trimesh; from modalink.modalities.points import Cloud\n"
        "box = trimesh.creation.box((2, 1, 0.5)); faces = np.concatenate([box.faces, [[0, 0, 1]]])\n"
        "print(Cloud(np.asarray(box.vertices), faces=faces).drawn(7000)[0].sum())"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert float(other) == float(found.sum())


def test_of_points_no_more_are_drawn_than_there_are() -> None:
    cloud = points.read(np.random.default_rng(0).random((50, 6)))
    assert np.array_equal(cloud.drawn(80)[0], cloud.points)
    few, colors = cloud.drawn(20)
    places = [cloud.points.tolist().index(row) for row in few.tolist()]
    assert places == sorted(places) and len(set(places)) == 20
    assert np.array_equal(colors, cloud.colors[places])


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_ply, "_MOST_WALKED", 2)
    assert "3 polygons of different lengths, at most 2 are read" in refused(mixed_ply())[1]
    content = BOX.export(file_type="ply")
    with pytest.raises(MediumError, match="has 12 points, at most 10 are read"):
        points.open_points(content, max_points=10)
    with pytest.raises(MediumError, match="bytes, at most 100 are read"):
        points.open_points(content, max_bytes=100)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    mesh = points.example(1)
    for suffix in (".glb", ".ply"):
        points.write(mesh, tmp_path / f"a{suffix}")
        back = points.read(tmp_path / f"a{suffix}")
        assert all(np.array_equal(a, b) for a, b in ((back.points, mesh.points), (back.faces, mesh.faces)))
        np.testing.assert_allclose(back.colors, mesh.colors, atol=1e-7)
    with pytest.raises(MediumError, match="an array holds no triangles"):
        points.write(mesh, tmp_path / "a.npy")
    with pytest.raises(MediumError, match=r"needed one of \.glb"):
        points.write(mesh, tmp_path / "a.docx")
    with pytest.raises(MediumError, match="cannot be written"):
        points.write(mesh, tmp_path / "no folder" / "a.glb")
