"""A network in training on a GPU: optimiser, moving average, learning rate, stream, and a step as one CUDA graph."""

from __future__ import annotations

import copy
import json
import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch  # noqa: TID253  # a training loads it in any case

from napari_specfusion.networks.residual import start_at_zero

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn

WARM_UP = 200
AVERAGE = {"cuda": 0.9995, "cpu": 0.99}


class Student(ABC):
    """One network in training. What it learns from is a matter of its kind."""

    def __init__(self, name: str, network: nn.Module, rate: float, seed: int, device: str) -> None:
        self.name, self.rate, self.device = name, rate, device
        self.network: Any = network.to(device)
        start_at_zero(self.network)
        self.cuda = device.startswith("cuda")
        if self.cuda:
            self.network.to(memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.lr: Any = torch.tensor(self.rate, device=device) if self.cuda else self.rate
        more = {"fused": True, "capturable": True} if self.cuda else {}
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=self.lr, weight_decay=1e-4, **more)
        self.stream = torch.cuda.Stream() if self.cuda else None
        self.graph: Any = None
        self.rng = np.random.default_rng([seed, 5])
        self.step, self.total, self.counted = 0, torch.zeros((), device=device), 0
        self.log: list[dict[str, Any]] = []

    @abstractmethod
    def draw(self) -> dict[str, Tensor]:
        """Return new values for the attributes of these names: the crops of the next step."""

    @abstractmethod
    def loss(self) -> Tensor:
        """Return the loss on the drawn crops."""

    @abstractmethod
    def scores(self, pairs: list[dict[str, Any]]) -> dict[str, Any]:
        """Return what the moving average gains on whole pairs."""

    def load(self, folder: Path) -> None:
        """Go on from the weights of an earlier run, if it has any of this name."""
        file = folder / f"{self.name}.pt"
        if file.exists():
            state = torch.load(file, weights_only=True, map_location=self.device)
            for module in (self.network, self.averaged):
                module.load_state_dict(state["weights"])

    def enlarge(self) -> None:
        """Go on with fewer and larger crops, if this kind has any."""
        self.graph = None

    def take(self, share: float) -> None:
        """Take a step, with the learning rate for this share of the time."""
        warm = min(1.0, (self.step + 1) / WARM_UP)
        rate = self.rate * warm * (0.01 + 0.99 * (1 + math.cos(math.pi * min(share, 1.0))) / 2)
        drawn = self.draw()
        if not self.cuda:
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            for name, values in drawn.items():
                getattr(self, name).copy_(values)
            self._step()
        else:
            with torch.cuda.stream(self.stream):
                self.lr.fill_(rate)
                for name, values in drawn.items():
                    getattr(self, name).copy_(values.pin_memory(), non_blocking=True)
                if self.graph is None:
                    self._capture()
                self.graph.replay()
        self.step += 1
        self.counted += 1

    def _capture(self) -> None:
        for _ in range(3):
            self._step()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream):
            self._step()
        self.graph = graph

    def _step(self) -> None:
        loss = self.loss()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0, foreach=True)
        for parameter in self.network.parameters():
            # a step whose gradient is not finite changes nothing
            parameter.grad = torch.where(norm.isfinite(), parameter.grad, 0.0)
        self.optimiser.step()
        with torch.no_grad():
            decay = AVERAGE["cuda" if self.cuda else "cpu"]
            torch._foreach_lerp_(list(self.averaged.parameters()), list(self.network.parameters()), 1 - decay)
            self.total += loss.detach()

    def validate(self, pairs: list[dict[str, Any]], seconds: float, out: Path) -> str:
        """Score and save the moving average; return the scores as a line of JSON."""
        row = {
            "name": self.name,
            "step": self.step,
            "seconds": round(seconds, 1),
            "loss": float(self.total) / max(self.counted, 1),
            **self.scores(pairs),
        }
        self.total.zero_()
        self.counted = 0
        self.log.append(row)
        state = {key: value.detach().float().cpu().contiguous() for key, value in self.averaged.state_dict().items()}
        part = out / f"{self.name}.part"
        torch.save({"weights": state, "step": self.step, "log": self.log}, part)
        part.replace(out / f"{self.name}.pt")
        return json.dumps(rounded(row))


def rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with its numbers to four decimals."""
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}


def grid_of(image: Tensor) -> tuple[Tensor, Tensor]:
    """Return coordinates that are the same everywhere, so that what is learned on crops holds in any image."""
    height, width = image.shape[-2:]
    return image.new_full((height,), 0.5), image.new_full((width,), 0.5)
