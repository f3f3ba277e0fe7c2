"""How autoencoder and denoiser learn: float32 masters of a bfloat16 module, their average, schedule, log and state.

    run = Run(folder, module, budget, ("pictures", "clips"), report_every=200)
    while run.goes_on():
        ...
        loss.backward()
        run.descend("clips", loss.item())

A run lives in a folder and continues from its last state there; its learning rate falls with the share of its budget
that is spent. Three files: `state.pt` to go on from, `average.pt` to use, and `log.csv`, one row a report: step,
seconds, and the mean loss of each series since the last row, `nan` where it had none.
"""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

DECAY = 0.998
"""Of the moving average, a step."""

TABLES = ("relative_attention_bias", "time_embedding", "head.head")
"""Names of weights that are looked up, or small and delicate, rather than multiplied by activations of every token."""


@dataclass(frozen=True)
class Budget:
    """How long to train, in steps, so that any machine teaches the same, and how fast at the peak."""

    steps: int
    learning_rate: float


class Averaged:
    """Float32 master weights of a bfloat16 module, with their moving average."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.masters = [as_matrix(name, weight.detach().float().clone()) for name, weight in module.named_parameters()]
        for master in self.masters:
            master.requires_grad_()
        self.average = [master.detach().clone() for master in self.masters]

    def take_gradients(self) -> None:
        for master, parameter in zip(self.masters, self.module.parameters(), strict=True):
            master.grad = None if parameter.grad is None else parameter.grad.float().view_as(master)
            parameter.grad = None

    @torch.no_grad()
    def publish(self, step: int) -> None:
        """Masters to the working copy, and into the average, which warms up over the first steps."""
        decay = min(DECAY, (1 + step) / (10 + step))
        for master, average in zip(self.masters, self.average, strict=True):
            average.lerp_(master, 1 - decay)
        self._refresh()

    def _refresh(self) -> None:
        for master, parameter in zip(self.masters, self.module.parameters(), strict=True):
            parameter.copy_(master.view_as(parameter))

    def averaged_state(self) -> dict[str, Tensor]:
        named = self.module.named_parameters()
        return {
            name: average.view_as(parameter).cpu().clone()
            for (name, parameter), average in zip(named, self.average, strict=True)
        }

    def optimisers(self, learning_rate: float) -> list[torch.optim.Optimizer]:
        """Muon for matrices, which learns in fewer steps than Adam; AdamW for the rest."""
        matrices = [master for master in self.masters if master.dim() == 2]
        others = [master for master in self.masters if master.dim() != 2]
        return [
            torch.optim.Muon(
                matrices, lr=learning_rate, weight_decay=0.02, momentum=0.95, adjust_lr_fn="match_rms_adamw"
            ),
            torch.optim.AdamW(others, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.0),
        ]

    def state(self) -> dict[str, Any]:
        return {"masters": [master.detach() for master in self.masters], "average": self.average}

    def restore(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            for mine, theirs in zip(self.masters, state["masters"], strict=True):
                mine.copy_(theirs)
            for mine, theirs in zip(self.average, state["average"], strict=True):
                mine.copy_(theirs)
            self._refresh()


class Run:
    """One training in one folder. The module's weights are those it was given with, or those of the folder's state."""

    def __init__(
        self, folder: Path, module: nn.Module, budget: Budget, series: tuple[str, ...], report_every: int
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.budget, self.report_every = folder, budget, report_every
        self.weights = Averaged(module)
        self.optimisers = self.weights.optimisers(budget.learning_rate)
        self.step, self.spent = 0, 0.0
        self.recent: dict[str, list[float]] = {name: [] for name in series}
        if (folder / "state.pt").exists():
            state = load_state(folder / "state.pt")
            self.weights.restore(state["weights"])
            for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
                optimiser.load_state_dict(saved)
            self.step, self.spent = state["step"], state["spent"]
        self.began = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds of training, earlier starts included."""
        return self.spent + time.monotonic() - self.began

    @property
    def progress(self) -> float:
        """The share of the budget that is spent."""
        return self.step / self.budget.steps

    def goes_on(self) -> bool:
        """Whether budget is left. Reports now and then, and at the end."""
        left = self.step < self.budget.steps
        if any(self.recent.values()) and (not left or self.step % self.report_every == 0):
            self._report()
        return left

    def descend(self, series: str, loss: float) -> None:
        """One step down the gradients that the module holds; `loss` is logged in its series."""
        self.weights.take_gradients()
        nn.utils.clip_grad_norm_(self.weights.masters, 1.0)
        now = rate(self.progress, self.step, self.budget.learning_rate)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = now
            optimiser.step()
        self.step += 1
        self.weights.publish(self.step)
        self.recent[series].append(loss)

    def _report(self) -> None:
        # The state comes last of what is used: a stop in between repeats some steps and loses none.
        save_state(self.folder / "average.pt", self.weights.averaged_state())
        save_state(
            self.folder / "state.pt",
            {
                "weights": self.weights.state(),
                "optimisers": [each.state_dict() for each in self.optimisers],
                "step": self.step,
                "spent": self.elapsed,
            },
        )
        means = ",".join(f"{np.mean(losses or [np.nan]):.5f}" for losses in self.recent.values())
        with (self.folder / "log.csv").open("a", encoding="utf-8") as log:
            log.write(f"{self.step},{self.elapsed:.0f},{means}\n")
        self.recent = {name: [] for name in self.recent}


def as_matrix(name: str, weight: Tensor) -> Tensor:
    """A kernel as the matrix it is, [out, in * taps]; vectors, vectors in disguise, and tables, flat."""
    flat = weight.dim() < 2 or weight.numel() == max(weight.shape) or weight.shape[0] == 1
    if flat or any(table in name for table in TABLES):
        return weight.reshape(-1)
    return weight.reshape(weight.shape[0], -1)


def rate(progress: float, step: int, peak: float) -> float:
    """Warm up over 100 steps, hold, then fall to a fiftieth over the last three fifths of the budget, as a cosine."""
    warm = min(1.0, (step + 1) / 100)
    fall = 0.5 + 0.5 * math.cos(math.pi * max(0.0, progress - 0.4) / 0.6)
    return peak * warm * max(0.02, fall)


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a training state so that a crash leaves the one before."""
    unfinished = path.with_suffix(".part")
    torch.save(state, unfinished)
    unfinished.replace(path)


def load_state(path: Path) -> Any:
    """Read a training state of one's own; weights_only keeps pickle from running code."""
    return torch.serialization.load(path, weights_only=True)
