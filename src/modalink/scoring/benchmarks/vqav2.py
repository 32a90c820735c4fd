"""VQAv2: everyday questions about COCO images."""

from modalink.scoring.benchmarks import _vqa
from modalink.scoring.benchmarks._base import Asking, ItemBenchmark

benchmark = ItemBenchmark(
    title="VQAv2",
    rule=_vqa.rule_of,
    source="Goyal et al. 2017; GT-Vision-Lab/VQA, vqaEval.py; prompt of haotian-liu/LLaVA",
    unit="percent",
    annotations="v2_mscoco_*_annotations.json: {annotations: [{question_id, answer_type, question_type, answers: "
    "[{answer}]}]}",
    predictions="[{question_id, answer}]",
    options=_vqa.VqaOptions,
    questions=_vqa.questions,
    grade=_vqa.grade,
    summarise=_vqa.summarise,
    asking=Asking(
        files=("v2_mscoco_*_annotations.json",), beside={"questions": "v2_OpenEnded_mscoco_*_questions.json"}
    ),
    prompt=_vqa.short_prompt,
)
