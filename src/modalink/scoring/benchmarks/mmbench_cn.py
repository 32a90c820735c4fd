"""MMBench-CN: the questions of MMBench in Chinese."""

from dataclasses import replace

from modalink.scoring.benchmarks import mmbench
from modalink.scoring.benchmarks._base import Asking, Question
from modalink.scoring.benchmarks._choice import lettered


def _prompt(question: Question) -> str:
    return f"{question.text}\n{lettered(question.choices)}\n请直接回答选项字母。"


benchmark = replace(
    mmbench.benchmark,
    title="MMBench-CN",
    annotations="mmbench_dev_cn_20231003.tsv, with the columns of MMBench",
    asking=Asking(files=("mmbench_dev_cn_*.tsv", "MMBench_DEV_CN*.tsv"), reply_field="prediction"),
    prompt=_prompt,
)
