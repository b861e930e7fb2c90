"""Several processes that train one model: each has its own clips, all have the same weights.

Started by `torchrun`; without it every function here is the identity. Gradients are averaged
after the backward pass in one message, so any number of forward and partial backward passes may
come before it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
from torch import Tensor
from torch import distributed as dist


def start() -> torch.device:
    """Join the processes that torchrun started; the device that this one is to use."""
    cuda = torch.cuda.is_available()
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if cuda else "gloo")
    if not cuda:
        return torch.device("cpu")
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def mean(values: Tensor) -> Tensor:
    """Mean over the processes; no gradient flows through it."""
    if world_size() == 1:
        return values
    total = values.detach().clone()
    dist.all_reduce(total)
    return total / world_size()


def any_of(flag: bool, device: torch.device) -> bool:
    """Whether it holds in one of the processes."""
    if world_size() == 1:
        return flag
    votes = torch.tensor(float(flag), device=device)
    dist.all_reduce(votes)
    return bool(votes)


@torch.no_grad()
def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Every gradient becomes the mean over the processes."""
    if world_size() == 1:
        return
    with_gradient = [p for p in parameters if p.grad is not None]
    flat = torch.cat([p.grad.flatten() for p in with_gradient if p.grad is not None])
    dist.all_reduce(flat)
    flat /= world_size()
    pieces = torch.split(flat, [p.numel() for p in with_gradient])
    for parameter, piece in zip(with_gradient, pieces, strict=True):
        parameter.grad = piece.view_as(parameter)


@torch.no_grad()
def same_everywhere(tensors: Iterable[Tensor]) -> None:
    """Rank 0's values for all."""
    if world_size() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, 0)
