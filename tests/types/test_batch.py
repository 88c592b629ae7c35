import copy
import pickle

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from epipole.types.batch import Batch
from epipole.types.errors import EpipoleError, MissingField
from epipole.types.predictions import Depth, DepthAndMotion, Motion
from epipole.types.views import Views


class Pair(Batch):
    """A batch with another within."""

    left: Float[Tensor, "*B n"]
    inner: Views


def views(B: int = 2, N: int = 3, H: int = 4, W: int = 6) -> Views:
    return Views(image=torch.rand(B, N, 3, H, W), K=torch.eye(3).expand(B, N, 3, 3), depth=torch.rand(B, N, 1, H, W),
                 depth_valid=torch.ones(B, N, 1, H, W, dtype=torch.bool))


def test_fields_are_what_was_given():
    image = torch.rand(2, 3, 3, 4, 6)
    batch = Views(image=image)
    assert batch.image is image
    assert "image" in batch
    assert "depth" not in batch
    assert batch.fields().keys() == {"image"}


def test_an_absent_field_raises_and_says_what_is_there():
    with pytest.raises(MissingField, match=r"depth.*image") as e:
        _ = Views(image=torch.rand(1, 1, 3, 2, 2)).depth
    assert isinstance(e.value, EpipoleError)
    assert isinstance(e.value, KeyError)
    assert not str(e.value).startswith(("'", '"'))


def test_an_unknown_name_is_an_attribute_error():
    batch = views()
    with pytest.raises(AttributeError):
        _ = batch.colour
    assert not hasattr(batch, "shape")


def test_an_unknown_field_is_refused():
    with pytest.raises(TypeError, match="imgae"):
        Views(imgae=torch.rand(1, 1, 3, 2, 2))


@pytest.mark.parametrize("wrong", [
    {"depth": torch.rand(2, 3, 1, 4, 7)},                       # another width
    {"depth": torch.rand(2, 2, 1, 4, 6)},                       # another number of views
    {"depth": torch.rand(3, 3, 1, 4, 6)},                       # another number of scenes
    {"depth": torch.rand(2, 3, 2, 4, 6)},                       # two channels
    {"depth": torch.rand(2, 3, 4, 6)},                          # an axis too few
    {"depth_valid": torch.ones(2, 3, 1, 4, 6)},                 # not bool
    {"image": torch.zeros(2, 3, 3, 4, 6, dtype=torch.uint8)},   # not float
    {"K": torch.eye(4).expand(2, 3, 4, 4)},
])
def test_axes_must_agree(wrong):
    name, = wrong
    with pytest.raises(TypeError, match=name):
        Views(**views().fields() | wrong)


def test_samples_are_unbatched_and_collate_to_batches():
    samples = [Views(image=torch.full((3, 3, 4, 6), float(i)), K=torch.eye(3).expand(3, 3, 3)) for i in range(2)]
    batch = Views.collate(samples)
    assert batch.image.shape == (2, 3, 3, 4, 6)
    assert batch.image[:, 0, 0, 0, 0].tolist() == [0, 1]


def test_collate_reaches_batches_within_and_needs_the_same_fields_in_all():
    pairs = [Pair(left=torch.ones(5), inner=views(B=7)) for _ in range(3)]
    together = Pair.collate(pairs)
    assert together.left.shape == (3, 5)
    assert together.inner.image.shape == (3, 7, 3, 3, 4, 6)
    with pytest.raises(MissingField, match="depth"):
        Views.collate([views(), views().keep({"image", "K", "depth_valid"})])


def test_keep():
    kept = views().keep({"K", "image"})
    assert type(kept) is Views
    assert kept.fields().keys() == {"K", "image"}
    with pytest.raises(MissingField):
        _ = kept.depth
    with pytest.raises(MissingField, match=r"needs flow, and the source provides only .*, image"):
        views().keep({"image", "flow"})


def test_map_and_to_reach_batches_within():
    pair = Pair(left=torch.ones(2, 5), inner=views(B=7).keep({"image", "K"}))
    halved = pair.map(lambda x: x / 2)
    assert halved.left.max() == 0.5
    assert torch.equal(halved.inner.image, pair.inner.image / 2)
    assert pair.to("meta").inner.image.device.type == "meta"


def test_survives_copy_and_pickle():
    batch = views()
    for twin in (copy.deepcopy(batch), pickle.loads(pickle.dumps(batch))):
        assert torch.equal(twin.image, batch.image)
        assert twin.fields().keys() == batch.fields().keys()


def test_predictions_inherit_their_fields():
    both = DepthAndMotion(depth=torch.ones(1, 2, 1, 4, 4), T_first_camera=torch.eye(4).expand(1, 2, 4, 4))
    assert isinstance(both, Depth)
    assert isinstance(both, Motion)
    with pytest.raises(TypeError):
        DepthAndMotion(depth=torch.ones(1, 2, 1, 4, 4), T_first_camera=torch.eye(4).expand(1, 3, 4, 4))
