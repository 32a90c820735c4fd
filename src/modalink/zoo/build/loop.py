"""The loop that trains every tiny part: each step is a pure function of its number, so a run resumes to the bit.

It is not `training/`, which trains links between parts on conversations: here bare modules learn, each by a loss of its
own on pictures or text, before there is a system to compose.
"""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from modalink import files, tensor_files
from modalink.devices import multiplies_bfloat16

Metrics = dict[str, float]


def autocast() -> AbstractContextManager[None]:
    """Matrix products in bfloat16 where the CPU multiplies it."""
    return torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bfloat16(torch.device("cpu")))


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast one part trains."""

    steps: int
    """Updates in all."""
    lr: float
    """Highest learning rate of AdamW, reached after the warm-up and left along a cosine."""
    batch: int
    """Samples a step."""
    warmup: int = 100
    """Updates of linear warm-up."""
    weight_decay: float = 0.02
    """Decoupled weight decay of matrices."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    ema: float = 0.0
    """Decay of the averaged weights that are kept in the end; 0 keeps the last weights."""
    seed: int = 0
    """Fixes initial weights and data."""
    log_every: int = 50
    """Updates between two lines of the log."""
    checkpoint_s: float = 120.0
    """Seconds between two checkpoints."""
    evaluate_every: int = 500
    """Updates between two looks at validation data."""

    def scaled(self, scale: float) -> "Schedule":
        """The same schedule with its number of steps scaled, never below two."""
        return self if scale == 1.0 else replace(self, steps=max(2, round(self.steps * scale)))

    def lr_at(self, step: int) -> float:
        """Learning rate of a step: linear warm-up, then a cosine down to a fiftieth."""
        warmup = min(self.warmup, max(1, self.steps // 10))
        if step < warmup:
            return self.lr * (step + 1) / warmup
        done = (step - warmup) / max(1, self.steps - warmup)
        return self.lr * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


class Trainer:
    """Trains a module step by step, writes a log and atomic checkpoints, and continues where a checkpoint stands."""

    def __init__(self, module: nn.Module, schedule: Schedule, folder: Path) -> None:
        self.module = module
        self.schedule = schedule
        self.folder = folder
        self.step = 0
        self.seconds = 0.0
        decayed = [p for p in module.parameters() if p.requires_grad and p.ndim > 1]
        plain = [p for p in module.parameters() if p.requires_grad and p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": schedule.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=schedule.lr, betas=(0.9, 0.98), fused=True)
        self.trained = [*decayed, *plain]
        self.average = [p.detach().clone() for p in self.trained] if schedule.ema else []
        folder.mkdir(parents=True, exist_ok=True)
        self._load()

    def run(
        self,
        loss_of: Callable[[int], tuple[Tensor, Metrics]],
        evaluate: Callable[[], Metrics],
        publish: Callable[[], None] | None = None,
    ) -> Metrics:
        """Train to the end of the schedule and leave the averaged weights in the module.

        Args:
            loss_of: gives the loss and what to log for a step number; all its randomness comes from that number or
                from torch's generator, which is seeded for every step.
            evaluate: measures the module on validation data.
            publish: writes what there is, called after each evaluation.

        Returns:
            The last evaluation with the seconds trained.
        """
        started, last_saved = time.monotonic() - self.seconds, time.monotonic()
        while self.step < self.schedule.steps:
            metrics = self._update(loss_of)
            self.seconds = time.monotonic() - started
            if self.step % self.schedule.log_every == 0:
                self._log(metrics)
            if self.step % self.schedule.evaluate_every == 0 and self.step < self.schedule.steps:
                self._evaluate(evaluate, publish)
            if time.monotonic() - last_saved > self.schedule.checkpoint_s:
                self.save()
                last_saved = time.monotonic()
        self.save()
        return self._evaluate(evaluate, publish) | {"seconds": float(round(self.seconds))}

    def _update(self, loss_of: Callable[[int], tuple[Tensor, Metrics]]) -> Metrics:
        torch.manual_seed(self.schedule.seed * 1_000_003 + self.step)
        self.module.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.lr_at(self.step)
        loss, metrics = loss_of(self.step)
        torch.autograd.backward(loss)
        norm = nn.utils.clip_grad_norm_(self.trained, self.schedule.clip)
        if not torch.isfinite(norm):
            raise FloatingPointError(f"{self.folder.name}: gradient is not finite at step {self.step}")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        # The average looks back over a tenth of what is done, so that early versions are not the random start.
        decay = min(self.schedule.ema, 1 - 10 / (self.step + 10))
        for kept, parameter in zip(self.average, self.trained, strict=bool(self.average)):
            kept.lerp_(parameter.detach(), 1 - decay)
        return metrics | {"loss": loss.item()}

    @torch.no_grad()
    def _evaluate(self, evaluate: Callable[[], Metrics], publish: Callable[[], None] | None) -> Metrics:
        self.module.eval()
        self._swap()
        found = evaluate()
        if publish is not None:
            publish()
        if self.step < self.schedule.steps:
            self._swap()
        self._log(found)
        return found

    def _swap(self) -> None:
        for kept, parameter in zip(self.average, self.trained, strict=bool(self.average)):
            held = parameter.detach().clone()
            parameter.data.copy_(kept)
            kept.copy_(held)

    def _log(self, metrics: Metrics) -> None:
        line = {"step": self.step, "seconds": round(self.seconds, 1)}
        line |= {name: round(float(value), 4) for name, value in metrics.items()}
        files.append_json_lines(self.folder / "log.jsonl", [line])
        print(told(self.folder.name, self.step, self.schedule.steps, self.seconds, metrics), flush=True)

    def save(self) -> None:
        """Write the checkpoint; a kill leaves the old one or the new one."""
        tensors = {f"module/{name}": value for name, value in _once(self.module).items()}
        tensors |= {f"average/{i}": value for i, value in enumerate(self.average)}
        for i, parameter in enumerate(self.trained):
            tensors |= {f"optimizer/{i}/{name}": value for name, value in self.optimizer.state[parameter].items()}
        with files.replacing(self.folder / "checkpoint.safetensors") as beside:
            tensor_files.save(tensors, beside, {"step": str(self.step), "seconds": str(self.seconds)})

    def _load(self) -> None:
        path = self.folder / "checkpoint.safetensors"
        if not path.exists():
            return
        with safe_open(path, "pt") as saved:
            tensors = {name: saved.get_tensor(name) for name in saved.keys()}  # noqa: SIM118  not a dict
            meta = saved.metadata()
        self.step, self.seconds = int(meta["step"]), float(meta["seconds"])
        with torch.no_grad():
            for name, value in _once(self.module).items():
                value.copy_(tensors[f"module/{name}"])
        for i, kept in enumerate(self.average):
            kept.copy_(tensors[f"average/{i}"])
        for i, parameter in enumerate(self.trained):
            self.optimizer.state[parameter] = _under(tensors, f"optimizer/{i}/")


def _once(module: nn.Module) -> dict[str, Tensor]:
    """What a module is saved as; a weight that has several names under its first."""
    names = {name for pairs in (module.named_parameters(), module.named_buffers()) for name, _ in pairs}
    return {name: value for name, value in module.state_dict().items() if name in names}


def told(name: str, step: int, steps: int, seconds: float, metrics: Metrics) -> str:
    """A line of the log for people, such as `llm  1200/6400  loss 0.05  18 min left`.

    Args:
        name: The part.
        step: Updates done.
        steps: Updates in all.
        seconds: Spent on the updates done; the others are taken to need as long each.
        metrics: What was measured.
    """
    left = seconds / max(1, step) * (steps - step)
    time_left = f"{left / 60:.0f} min left" if left >= 60 else f"{left:.0f} s left"
    return "  ".join([name, f"{step}/{steps}", *(f"{key} {value:.4g}" for key, value in metrics.items()), time_left])


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
