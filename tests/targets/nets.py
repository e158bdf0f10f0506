"""Small networks whose widths hang together in all the ways that a target has to know."""

RESIDUAL = """
net2net: 1
input: [3, 8, 8]
layers:
  conv1: {type: Conv2d, out_channels: 8, kernel_size: 3, padding: 1}
  bn1: {type: BatchNorm2d}
  relu: {type: ReLU}
  layer1:
    0: &block
      type: Add
      branches:
        - conv1: {type: Conv2d, out_channels: 16, kernel_size: 3, padding: 1}
          bn1: {type: BatchNorm2d}
          relu: {type: ReLU}
          conv2: {type: Conv2d, out_channels: 8, kernel_size: 3, padding: 1}
          bn2: {type: BatchNorm2d}
        - {}
    relu0: {type: ReLU}
    1: *block
    relu1: {type: ReLU}
  pool: {type: AdaptiveAvgPool2d, output_size: 1}
  flat: {type: Flatten}
  fc: {type: Linear, out_features: 4}
"""
"""One stream of 8, and two widths of 16 inside of its blocks."""

ATTENDING = """
net2net: 1
input: [5, 4]
layers:
  embed: {type: Linear, out_features: 24}
  block:
    type: Add
    branches:
      - norm: {type: LayerNorm}
        att: {type: MultiheadAttention, num_heads: 3}
      - {}
  norm: {type: LayerNorm}
  fc: {type: Linear, out_features: 4}
"""
"""A stream of 24 that three heads of 8 attend to."""

GROUPED = """
net2net: 1
input: [3, 4, 4]
layers:
  conv1: {type: Conv2d, out_channels: 24, kernel_size: 1}
  conv2: {type: Conv2d, out_channels: 24, kernel_size: 3, padding: 1, groups: 4}
  relu: {type: ReLU}
  depthwise: {type: Conv2d, out_channels: 24, kernel_size: 3, padding: 1, groups: 24}
  conv3: {type: Conv2d, out_channels: 16, kernel_size: 1}
  norm: {type: GroupNorm, num_groups: 4}
  conv4: {type: Conv2d, out_channels: 36, kernel_size: 1}
  shuffle: {type: PixelShuffle, upscale_factor: 2}
  flat: {type: Flatten}
  fc: {type: Linear, out_features: 4}
"""
"""Groups, one group per channel, norms over groups, a pixel shuffle, a flatten."""

CHAIN = """
net2net: 1
input: [12]
layers:
  fc1: {type: Linear, out_features: 16}
  relu1: {type: ReLU}
  fc2: {type: Linear, out_features: 10}
  relu2: {type: ReLU}
  out: {type: Linear, out_features: 4}
"""

NUMBERED = """
net2net: 1
input: [12]
layers:
  0: {type: Linear, out_features: 16}
  1: {type: ReLU}
  2: {type: Linear, out_features: 10}
  3: {type: ReLU}
  4: {type: Linear, out_features: 4}
"""
"""The same, as the members of torch.nn.Sequential."""

NORMED = """
net2net: 1
input: [12]
layers:
  fc1: {type: Linear, out_features: 16}
  norm1: {type: LayerNorm}
  norm2: {type: LayerNorm}
  fc2: {type: Linear, out_features: 16}
  relu2: {type: ReLU}
  out: {type: Linear, out_features: 4}
"""
"""The first width bears copies in equal number only, and the second anything."""

TRACED = """
net2net: 1
input: [4, 6, 6]
layers:
  stem: {type: Conv2d, out_channels: 8, kernel_size: 1}
  stem_relu: {type: ReLU}
  stage:
    0:
      conv: {type: Conv2d, out_channels: 8, kernel_size: 3, padding: 1}
      relu: {type: ReLU}
      bn: {type: BatchNorm2d}
      add: {type: Add, inputs: [bn, stem_relu]}
      relu_2: {type: ReLU}
    1:
      conv: {type: Conv2d, out_channels: 8, kernel_size: 3, padding: 1}
      relu: {type: ReLU}
      bn: {type: BatchNorm2d}
      add: {type: Add, inputs: [bn, 0.relu_2]}
      relu_2: {type: ReLU}
  head: {type: Conv2d, out_channels: 2, kernel_size: 6}
"""
"""Residual blocks as groups that say what they add, as a trace may give them."""

SEQUENTIAL = """
net2net: 1
input: [3, 6, 6]
layers:
  body:
    0:
      conv: {type: Conv2d, out_channels: 4, kernel_size: 3}
      bn: {type: BatchNorm2d}
      relu: {type: ReLU}
    1:
      conv: {type: Conv2d, out_channels: 8, kernel_size: 3, stride: 2}
      bn: {type: BatchNorm2d}
      relu: {type: ReLU}
  flat: {type: Flatten}
  fc: {type: Linear, out_features: 4}
"""
"""Units that are a convolution, a norm and an activation each."""
