"""Train in a loop of your own: the composite is an ordinary Hugging Face model with an ordinary processor.

Run: `python examples/own_loop.py`
"""

import torch
from torch.nn.functional import cross_entropy

import modalink
from modalink.data.sources.tiny_world import TinyWorldConfig
from modalink.model import collate


def main(steps: int = 60, batch: int = 32) -> list[float]:
    """Teach the demo's input projector to describe pictures; returns the loss of each step."""
    model, processor = modalink.build("demo")
    model.requires_grad_(False)
    projector = [parameter for _, parameter in model.trainable_groups()["inputs.image.projector"]]
    for parameter in projector:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(projector, lr=3e-3)

    conversations = TinyWorldConfig(count=steps * batch, tasks=["caption"]).open()
    losses = []
    for step in range(steps):
        samples = [processor.prepare(conversations[step * batch + i]) for i in range(batch)]
        joined = collate(samples, packed=model.packs, pad_id=processor.tokenizer.pad_token_id)
        logits = model(**joined.inputs(conditions=False)).logits  # at the labelled tokens alone
        loss = cross_entropy(logits, joined.wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step % 10 == 0:
            print(f"step {step}: loss {losses[-1]:.3f}")

    turn, picture = next(TinyWorldConfig(split="test", tasks=["caption"]).open()[0].media())
    content = [{"type": "image", "image": picture.source}, {"type": "text", "text": turn.text}]
    inputs = processor([{"role": "user", "content": content}])
    ids = model.generate(**inputs, max_new_tokens=40)
    print(processor.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
    return losses


if __name__ == "__main__":
    main()
