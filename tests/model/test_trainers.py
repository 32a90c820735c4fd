"""The composed model under trainers that were written for native models."""

import pytest
import torch
from datasets import Dataset, Image, List
from transformers import Trainer, TrainingArguments
from trl import DPOConfig, DPOTrainer

from modalink.model.groups import group_of


def _changed(before, model):
    after = dict(model.named_parameters())
    return {group_of(name) for name, value in before.items() if not torch.equal(value, after[name])}


def _copy(model):
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def _quiet(folder):
    return {"output_dir": str(folder), "report_to": "none", "use_cpu": True, "disable_tqdm": True, "max_steps": 2}


def test_trainer_trains_the_links(make_system, talk, picture, tmp_path):
    system = make_system(lora=True)
    rows = [
        system.processor.prepare(talk(("user", [picture(i), "what?"]), ("assistant", ["a circle"]))) for i in range(4)
    ]

    def collator(samples):
        mask = torch.ones(len(samples), len(samples[0].input_ids), dtype=torch.long)
        return {
            "input_ids": torch.tensor([s.input_ids for s in samples]),
            "labels": torch.tensor([s.labels for s in samples]),
            "attention_mask": mask,
            "pixel_values": torch.cat([s.media["image"][0].load() for s in samples]),
        }

    before = _copy(system.model)
    arguments = TrainingArguments(
        **_quiet(tmp_path / "out"), per_device_train_batch_size=2, remove_unused_columns=False, learning_rate=1e-2
    )
    trainer = Trainer(system.model, arguments, train_dataset=rows, data_collator=collator)
    result = trainer.train()
    assert result.training_loss > 0
    assert _changed(before, system.model) == {"inputs.image.projector", "llm.lora"}
    trainer.save_model(str(tmp_path / "saved"))
    loaded = type(system.model).from_pretrained(tmp_path / "saved")
    assert not _changed(_copy(system.model), loaded)


@pytest.mark.filterwarnings("ignore")
def test_dpo_trainer_learns_a_preference_about_images(make_system, picture, tmp_path):
    system = make_system(lora=True)
    data = Dataset.from_list(
        [
            {
                "images": [picture(i)],
                "prompt": [{"role": "user", "content": "what is it?"}],
                "chosen": [{"role": "assistant", "content": "a red circle"}],
                "rejected": [{"role": "assistant", "content": "a dog"}],
            }
            for i in range(4)
        ]
    ).cast_column("images", List(Image()))
    reference = type(system.model).from_pretrained(_saved(system, tmp_path))
    before = _copy(system.model)
    arguments = DPOConfig(
        **_quiet(tmp_path / "out"), per_device_train_batch_size=2, max_length=None, learning_rate=1e-2, logging_steps=1
    )
    trainer = DPOTrainer(
        system.model, ref_model=reference, args=arguments, train_dataset=data, processing_class=system.processor
    )
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[0] == pytest.approx(0.6931, abs=1e-3)
    assert losses[-1] < losses[0]
    assert _changed(before, system.model) == {"inputs.image.projector", "llm.lora"}


def _saved(system, folder):
    system.save(folder / "reference")
    return folder / "reference"
