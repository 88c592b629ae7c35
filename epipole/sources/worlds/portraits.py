"""Portraits: people who do not exist, each in several poses, expressions and lights, for whatever must tell people
apart, and for what tries to get their faces back from that (NbNet, Mai et al. 2018)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from epipole.types.errors import InputError
from epipole.types.views import Views

from .camera import Camera
from .families.faces import CLASSES, Expression, Head, assemble, distance, draw_expression, draw_traits
from .materials import draw_materials
from .meshes import Array
from .motions import look_at
from .render import cast, radiance
from .sensor import develop
from .spec import Spec
from .truth import PER_VIEW, view_truth

FIELDS = frozenset({"image", "silhouette", "label", "K", "T_world_camera", *PER_VIEW})
USUAL = frozenset({"image", "label"})
HEAD = ("skin", "hair", "eye", "mouth")
TURN = ((0.0, 0.0, 0.0), (20.0, 8.0, 5.0), (45.0, 15.0, 10.0), (75.0, 25.0, 20.0))
"""Degrees that heads turn aside, nod and lean at most, by difficulty."""
MOVED = (0.0, 0.35, 0.7, 1.0)  # strength of expressions by difficulty


@dataclass(frozen=True)
class Portrait:
    """What is seen of a person in one picture."""

    expression: Expression
    T_world_head: Array  # [4, 4]


class Faces:
    """`faces[i]` is person i, the spec's scene plus i, in `views` pictures, with their number as label.

    The world of these views is the head: `T_world_camera` is the camera's pose in its axes, which is the head's pose
    the other way round. Difficulty 0 is a passport photo. Raises InputError for a spec of another family, with lens
    distortion, or for unknown fields.
    """

    def __init__(self, spec: Spec, people: int = 1, views: int = 4, fields: Collection[str] = USUAL) -> None:
        if spec.family != "faces" or any(spec.distortion):
            raise InputError("portraits show the family 'faces' through a lens without distortion; "
                             f"this spec asks for {spec.family!r} and distortion {spec.distortion}")
        if unknown := set(fields) - FIELDS:
            raise InputError(f"portraits cannot tell {sorted(unknown)}; they can tell {', '.join(sorted(FIELDS))}")
        self.spec, self.people, self.views, self.provides = spec, people, views, frozenset(fields)

    def __len__(self) -> int:
        return self.people

    def person(self, index: int) -> Array:
        """The traits of person `index`, each within -1 to 1."""
        return draw_traits(self._spec(index))

    def portrait(self, index: int, view: int) -> Portrait:
        """How person `index` is seen in picture `view`."""
        spec = self._spec(index)
        rng = spec.random("portrait", view)
        aside, nod, lean = np.radians(rng.uniform(-1, 1, 3) * TURN[spec.difficulty])
        return Portrait(draw_expression(rng, MOVED[spec.difficulty]), turned(aside, nod, lean))

    def __getitem__(self, index: int) -> Views:
        i = range(self.people)[index]
        rows = [self._seen(i, k) for k in range(self.views)]
        return Views(**{name: torch.cat([row[name] for row in rows]) for name in rows[0]})

    def _spec(self, index: int) -> Spec:
        return replace(self.spec, scene=self.spec.scene + index)

    def _seen(self, index: int, k: int) -> dict[str, Tensor]:
        spec, shot, names = self._spec(index), self.portrait(index, k), set(self.provides)
        head = Head(self.person(index), shot.expression)
        scene = assemble(spec, head, shot.T_world_head, spec.random("light", k))
        pose = look_at(np.array([[0.0, -distance(spec), 0.0]]), np.zeros(3), np.zeros(1))[0]
        camera, moment = Camera(spec.intrinsics(), pose, spec.width, spec.height), scene.at(0.0)
        view = cast(moment, camera)
        row = view_truth(scene, moment, camera, view, names | {"semantic"})
        row["silhouette"] = torch.isin(row["semantic"], torch.tensor([CLASSES.index(kind) for kind in HEAD]))
        if "image" in names:
            materials = draw_materials(scene.surfaces, spec.difficulty, spec.random("textures", spec.textures))
            image = develop(spec, k, radiance(scene, moment, materials, camera, view))
            row["image"] = torch.from_numpy(image).permute(2, 0, 1)[None].contiguous()
        row["K"] = torch.from_numpy(camera.K).float()[None]
        row["T_world_camera"] = torch.from_numpy(np.linalg.inv(shot.T_world_head) @ pose).float()[None]
        row["label"] = torch.tensor([spec.scene])
        return {name: row[name] for name in row if name in names}


def turned(aside: float, nod: float, lean: float) -> Array:
    """T_world_head [4, 4] of a head that turns about the vertical, then nods about x, then leans about y; rad."""
    T = np.eye(4)
    for axis, angle in ((1, lean), (0, nod), (2, aside)):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        c, s = np.cos(angle), np.sin(angle)
        R = np.eye(4)
        R[[a, a, b, b], [a, b, a, b]] = c, -s, s, c
        T = R @ T
    return T
