"""Which attention body is faster on this machine: measures what `modalink.llms.attention` chooses between.

    python benchmarks/attention.py

For each layout of segments it times one forward and backward pass of a 4-layer Llama decoder, once with every segment
on its own, once with all segments padded to the longest, and for an unpacked batch with and without SDPA. Prints
seconds (median of several runs, interleaved) and ratios.
"""

import statistics
import time
from collections.abc import Callable

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from modalink.llms import ATTENTION, Segments, _attention

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
        times = interleaved({"alone": packed(model, lengths, 0.0), "padded": packed(model, lengths, 1.0)})
        report(f"packed, {name}, {waste:.0%} padding", times, "alone", "padded")
    ids = torch.randint(0, 600, (32, 64))
    step = {"eager body": unpacked(model, ids, ATTENTION), "sdpa": unpacked(model, ids, "sdpa")}
    report("bfloat16 training, 32 x 64", interleaved(step), "eager body", "sdpa")


def packed(model: LlamaForCausalLM, lengths: list[int], limit: float) -> Callable[[], None]:
    """A step over a packed stream with a given limit of padding."""
    ids = torch.randint(0, 600, (1, sum(lengths)))
    segments = Segments.of(lengths)
    mask = segments.mask()

    def step() -> None:
        _attention.PADDING_LIMIT = limit
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


def report(title: str, times: dict[str, float], one: str, other: str) -> None:
    """Print one row."""
    ratio = times[one] / times[other]
    print(f"{title}: {one} {times[one]:.3f} s, {other} {times[other]:.3f} s, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
