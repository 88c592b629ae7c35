"""Coloured triangle meshes: PLY for programs that measure, GLB (binary glTF 2.0) for programs that show."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from ..types.errors import InputError
from . import ply
from .atomic import replacing

FACE = np.dtype([("count", "u1"), ("corners", "<i4", 3)])
FACES = "element face {count}\nproperty list uchar int vertex_indices\nend_header\n"
UPRIGHT = np.array([1, -1, -1], np.float32)     # from y down, z forward to glTF's y up, z backward
ARRAY, ELEMENTS = 34962, 34963                  # what a buffer holds, in the words of OpenGL
FLOAT, UINT = 5126, 5125


def write_ply(
    path: str | Path, vertices: Float32[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"],
    colors: UInt8[np.ndarray, "V 3"], comment: str = "",
) -> None:
    """Binary little endian; coordinates keep their unit and axes. `comment` is one line of the header."""
    table, rows = np.empty(len(vertices), ply.VERTEX), np.empty(len(faces), FACE)
    table["xyz"], table["rgb"] = vertices, colors
    rows["count"], rows["corners"] = 3, faces
    with replacing(path) as part:
        part.write_bytes(_header(len(vertices), len(faces), comment) + table.tobytes() + rows.tobytes())


def read_ply(
    path: str | Path,
) -> tuple[Float32[np.ndarray, "V 3"], Int[np.ndarray, "F 3"], UInt8[np.ndarray, "V 3"]]:
    """Vertices, faces and colours of a file laid out as `write_ply` does; raises InputError for any other layout."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    head, mark, body = data.partition(b"end_header\n")
    counts = {words[1]: int(words[2]) for line in head.decode("ascii", "replace").splitlines()
              if (words := line.split())[:1] == ["element"] and len(words) == 3 and words[2].isdigit()}
    vertices, faces = counts.get("vertex", 0), counts.get("face", 0)
    if ply.without_comments(head + mark) != _header(vertices, faces).splitlines():
        raise InputError(f"{path} is not a binary little-endian PLY of coloured vertices and triangles")
    if len(body) != vertices * ply.VERTEX.itemsize + faces * FACE.itemsize:
        raise InputError(f"{path} is cut off: its header announces {vertices} vertices and {faces} faces")
    table = np.frombuffer(body, ply.VERTEX, vertices)
    rows = np.frombuffer(body, FACE, faces, table.nbytes)
    return table["xyz"].copy(), rows["corners"].astype(np.int64), table["rgb"].copy()


def _header(vertices: int, faces: int, comment: str = "") -> bytes:
    return ply.header(vertices, comment).replace(b"end_header\n", FACES.format(count=faces).encode())


def write_glb(
    path: str | Path, vertices: Float32[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"],
    colors: UInt8[np.ndarray, "V 3"], comment: str = "",
) -> None:
    """Turned to glTF's axes (y up), shown in its own colours without lights. An empty mesh is an empty scene. `comment`
    stands in the extras of the asset."""
    asset = {"version": "2.0", "generator": "epipole"} | ({"extras": {"comment": comment}} if comment else {})
    scene: dict[str, object] = {"asset": asset, "scene": 0, "scenes": [{}]}
    body = b""
    if len(vertices) and len(faces):
        arrays = [(vertices * UPRIGHT).astype("<f4"), linear(colors), faces.astype("<u4").reshape(-1)]
        scene |= _described(arrays)
        body = b"".join(array.tobytes() for array in arrays)
    head = json.dumps(scene, separators=(",", ":")).encode()
    chunks = _chunk(b"JSON", head, b" ") + (_chunk(b"BIN\0", body, b"\0") if body else b"")
    with replacing(path) as part:
        part.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)


def linear(colors: UInt8[np.ndarray, "V 3"]) -> Float32[np.ndarray, "V 4"]:
    """sRGB as the linear light that glTF keeps at vertices, opaque (IEC 61966-2-1)."""
    c: Float[np.ndarray, "V 3"] = colors / 255
    light = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return np.pad(light, ((0, 0), (0, 1)), constant_values=1).astype("<f4")


def _described(arrays: list[np.ndarray]) -> dict[str, object]:
    """What the JSON says about positions, colours and indices that follow one another in the body."""
    position, color, index = arrays
    starts = np.cumsum([0, *(array.nbytes for array in arrays)]).tolist()
    views = [{"buffer": 0, "byteOffset": start, "byteLength": array.nbytes, "target": target}
             for start, array, target in zip(starts, arrays, (ARRAY, ARRAY, ELEMENTS), strict=False)]
    accessors = [
        {"bufferView": 0, "componentType": FLOAT, "count": len(position), "type": "VEC3",
         "min": position.min(0).tolist(), "max": position.max(0).tolist()},
        {"bufferView": 1, "componentType": FLOAT, "count": len(color), "type": "VEC4"},
        {"bufferView": 2, "componentType": UINT, "count": len(index), "type": "SCALAR"},
    ]
    primitive = {"attributes": {"POSITION": 0, "COLOR_0": 1}, "indices": 2, "material": 0}
    material = {"extensions": {"KHR_materials_unlit": {}}, "doubleSided": True,
                "pbrMetallicRoughness": {"metallicFactor": 0}}
    return {"scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}], "meshes": [{"primitives": [primitive]}],
            "materials": [material], "extensionsUsed": ["KHR_materials_unlit"], "accessors": accessors,
            "bufferViews": views, "buffers": [{"byteLength": starts[-1]}]}


def _chunk(kind: bytes, data: bytes, filler: bytes) -> bytes:
    """A chunk of a whole number of four bytes."""
    padded = data + filler * (-len(data) % 4)
    return struct.pack("<I4s", len(padded), kind) + padded
