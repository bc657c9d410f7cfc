"""Settings for all tests: one torch thread, so that tests neither fight for cores nor depend on them."""

import torch

torch.set_num_threads(1)
