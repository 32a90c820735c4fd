"""Which attention body is faster on this machine: measures what `modalink.llms.attention` chooses between.

    python benchmarks/attention.py

For each layout of segments it times one forward and backward pass of a 4-layer Llama decoder: segments of one length
at a time, of like lengths, and all padded to the longest; and for an unpacked batch with and without SDPA. Prints
seconds (median of several runs, interleaved) and ratios.
"""

import statistics
import time
from collections.abc import Callable

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from modalink.llms import ATTENTION, Segments, _segments

LAYOUTS = {
    "32 x 64, equal": [64] * 32,
    "32 segments of 16 to 96": [16 + (i * 37) % 81 for i in range(32)],
    "1 of 512 and 24 of 32": [512] + [32] * 24,
    "8 segments of 64 to 512": [64 * (i + 1) for i in range(8)],
}


def main() -> None:
    """Print the table."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=600, hidden_size=256, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4
    )
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    for name, lengths in LAYOUTS.items():
        waste = 1 - sum(lengths) / (max(lengths) * len(lengths))
        model.set_attn_implementation(ATTENTION)
        limits = {"alone": 0.0, "grouped": _segments.PADDING_LIMIT, "padded": 1.0}
        times = interleaved({body: packed(model, lengths, limit) for body, limit in limits.items()})
        report(f"packed, {name}, {waste:.0%} padding", times)
    ids = torch.randint(0, 600, (32, 64))
    step = {"eager body": unpacked(model, ids, ATTENTION), "sdpa": unpacked(model, ids, "sdpa")}
    report("bfloat16 training, 32 x 64", interleaved(step))


def packed(model: LlamaForCausalLM, lengths: list[int], limit: float) -> Callable[[], None]:
    """A step over a packed stream with a given limit of padding."""
    ids = torch.randint(0, 600, (1, sum(lengths)))
    _segments.PADDING_LIMIT = limit
    segments = Segments.of(lengths)
    mask = segments.mask()

    def step() -> None:
        model(
            ids, attention_mask=mask, position_ids=segments.positions, use_cache=False
        ).logits.float().mean().backward()

    return step


def unpacked(model: LlamaForCausalLM, ids: torch.Tensor, attention: str) -> Callable[[], None]:
    """A step over an ordinary batch."""

    def step() -> None:
        model.set_attn_implementation(attention)
        model(ids).logits.float().mean().backward()

    return step


def interleaved(steps: dict[str, Callable[[], None]], runs: int = 7) -> dict[str, float]:
    """Median seconds of each step, run in turn so that a drifting machine treats them alike."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for run in range(runs + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if run:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def report(title: str, times: dict[str, float]) -> None:
    """One line: the times, and how often each goes into the first."""
    first = next(iter(times.values()))
    print(f"{title}: " + ", ".join(f"{body} {taken:.3f} s ({first / taken:.2f}x)" for body, taken in times.items()))


if __name__ == "__main__":
    main()
