"""Whether the kernels in C can run here."""

import pytest
import torch

from nasforge_plugins.kernels.door import find_kernel

HAS_KERNELS = find_kernel("convolution", torch.zeros(1, 1, 1, 1)) is not None

needs_kernels = pytest.mark.skipif(not HAS_KERNELS, reason="there are no kernels in C here")
