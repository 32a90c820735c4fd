"""Tokens a second of the engine, beside transformers' `generate` with a second pass for the conditions.

    python benchmarks/engine.py [--run runs/demo] [--threads 2] [--count 64] [--max-new-tokens 64]

Questions about pictures and requests to draw, answered greedily and side by side. Without a run the parts of the recipe
`demo` answer, untrained links between them; an image then begins wherever chance wants it.
"""

import argparse

import numpy as np
import torch
from timing import race
from torch import Tensor
from transformers import LogitsProcessorList

from modalink.conversation import Conversation
from modalink.evaluation.tiny_world.ask import conversation_about
from modalink.inference import Engine, Request, Sampling, load
from modalink.inference.decoding import embed_prompts
from modalink.inference.endings import Endings
from modalink.inference.row import Row
from modalink.inference.sampling import GREEDY
from modalink.inference.scores import Numbers, WholeRuns
from modalink.model import System, compose
from modalink.recipe import load as load_recipe
from modalink.tiny_world import drawing_request, render, sample_scene
from modalink.tiny_world.scene_questions import sample_scene_questions


def untrained() -> System:
    """The demo's parts, with signal tokens that come somewhere in most answers."""
    system = compose(load_recipe("demo"))
    head = system.model.get_output_embeddings()
    with torch.no_grad():
        noise = torch.randn(head.new_rows.shape, generator=torch.Generator().manual_seed(0))
        head.new_rows.copy_(noise * head.base.weight.std() * 2)
    return system


def workloads(count: int) -> dict[str, list[Conversation]]:
    """Conversations to be answered."""
    questions = sample_scene_questions("validation", count, 0)
    scenes = [sample_scene(number, "validation") for number in range(count)]
    rng = np.random.default_rng(0)
    return {
        "questions": [conversation_about(render(item.scene), item.question.text) for item in questions],
        "drawings": [conversation_about(None, drawing_request(scene, rng)) for scene in scenes],
    }


@torch.no_grad()
def baseline(system: System, requests: list[Request]) -> Tensor:
    """What `generate` answers, `[b, n]`, and a pass over prompts and answers where one of them asks for an image."""
    model, longest = system.model, requests[0].sampling.max_new_tokens
    prompts = embed_prompts(system, [Row(system, request) for request in requests])
    start = prompts.ids.shape[1]
    output: Tensor = model.generate(
        input_ids=prompts.ids,
        inputs_embeds=prompts.read.embeds,
        read=prompts.read,
        attention_mask=prompts.mask,
        **GREEDY,
        max_new_tokens=longest,
        pad_token_id=system.processor.tokenizer.pad_token_id,
        eos_token_id=sorted(Endings.of(system).tokens),
        logits_processor=LogitsProcessorList([Numbers(), WholeRuns(model.config.signals, start + longest)]),
    )
    answers = output[:, start:]
    if any((answers == run[0]).any() for run in model.config.signals.values()):
        embeds = torch.cat([prompts.read.embeds, model.get_input_embeddings()(answers)], 1)
        mask = torch.cat([prompts.mask, torch.ones_like(answers)], 1)
        options = {"use_cache": False, "output_hidden_states": True, "logits_to_keep": 1}
        model(inputs_embeds=embeds, read=prompts.read, attention_mask=mask, **options)
    return answers


def main() -> None:
    """Print tokens a second of both on each workload, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", help="a trained run of the demo")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    system = load(options.run).system if options.run else untrained()
    for name, talks in workloads(options.count).items():
        prompts = [system.processor.prepare(talk, reply=True) for talk in talks]
        sampling = Sampling(max_new_tokens=options.max_new_tokens)
        compare(system, name, [Request(prompt, sampling, media=False) for prompt in prompts], options.rounds)


def compare(system: System, name: str, requests: list[Request], rounds: int) -> None:
    """Print tokens a second of both on one workload."""
    engine = Engine(system, batch=len(requests))
    completions, answers = engine.generate(requests), baseline(system, requests)
    tokens = sum(len(completion.ids) for completion in completions)
    same = sum([*own.ids] == row[: len(own.ids)].tolist() for own, row in zip(completions, answers, strict=True))
    drawn = sum(bool(completion.conditions) for completion in completions)
    seconds = race(
        {"engine": lambda: engine.generate(requests), "generate": lambda: baseline(system, requests)}, rounds=rounds
    )
    print(
        f"{name}: {len(requests)} answers of {tokens} tokens, {drawn} with an image, {same} equal to generate's; "
        f"engine {tokens / seconds['engine']:,.0f} tokens/s, generate {tokens / seconds['generate']:,.0f}, "
        f"ratio {seconds['generate'] / seconds['engine']:.2f}"
    )


if __name__ == "__main__":
    main()
