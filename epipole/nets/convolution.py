"""The convolutions of SfMLearner's networks: Xavier weights, zero biases, ReLU; batch-norm on request."""

from torch import Tensor, nn


class BatchNorm(nn.BatchNorm2d):
    """Batch-norm that uses its running moments where a channel holds a single value, which has no variance."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.numel() == x.shape[1]:
            return nn.functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(x)


def _initialised(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Module:
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _finished(layer: nn.Module, channels: int, batch_norm: bool) -> nn.Sequential:
    return nn.Sequential(layer, BatchNorm(channels), nn.ReLU()) if batch_norm else nn.Sequential(layer, nn.ReLU())


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, batch_norm: bool = False) -> nn.Sequential:
    """Convolution + ReLU; the output has ceil(size / stride) pixels."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=not batch_norm)
    return _finished(_initialised(layer), outputs, batch_norm)


def upconv(inputs: int, outputs: int, kernel: int, batch_norm: bool = False) -> nn.Sequential:
    """Transposed convolution of stride 2 + ReLU; the output has twice the size."""
    layer = nn.ConvTranspose2d(inputs, outputs, kernel, 2, kernel // 2, output_padding=1, bias=not batch_norm)
    return _finished(_initialised(layer), outputs, batch_norm)


def predict(inputs: int, outputs: int, kernel: int) -> nn.Module:
    """A linear convolution that makes a prediction."""
    return _initialised(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2))
