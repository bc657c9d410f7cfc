"""Copies to a device, and waiting for it."""

from __future__ import annotations

import torch

__all__ = ["exact_device", "send", "synchronize"]


def send(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a tensor on a device; the processor does not wait for a copy to a GPU, nor the GPU for one.

    Args:
        tensor: On any device; one on the CPU is copied to page-locked memory first where the device is a GPU.
        device: Where it should be.
    """
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=device.type == "cuda")


def exact_device(device: torch.device) -> torch.device:
    """Return where float64 can be computed: on the device, or on the CPU beside a GPU of Apple's."""
    return torch.device("cpu") if device.type == "mps" else device


def synchronize(device: torch.device) -> None:
    """Wait until a device has finished its queue; a CPU has none."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
