"""DispNet and DispNetC (Mayer et al. 2016): FlowNet for rectified pairs, with a convolution after every join and
disparity at six scales, 1/2 .. 1/64 of the size padded to multiples of 64."""

from .flownet import Cost, Matching, Pyramid, Refinement, Stacked

REFINEMENT = (512, 256, 128, 64, 32)    # channels of upconv5 .. upconv1 and iconv5 .. iconv1
REDIRECTED = 64                         # channels of conv_redir
SHARED = 2                              # layers that see one image alone: the correlation is at a quarter of the size


class DispNet(Pyramid):
    """From both images on one channel axis; 42,321,456 weights."""

    def __init__(self, width: float = 1.0):
        features = Stacked(width)
        super().__init__(features, Refinement(features.channels, width, 1, REFINEMENT, joined=True))


class DispNetC(Pyramid):
    """From how the features at a quarter of the size fit: `cost` turns two maps of them into `costs` channels.
    42,166,704 weights with 40 candidates."""

    def __init__(self, cost: Cost, costs: int, width: float = 1.0):
        features = Matching(cost, costs, width, SHARED, REDIRECTED)
        super().__init__(features, Refinement(features.channels, width, 1, REFINEMENT, joined=True))
