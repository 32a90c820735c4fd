"""MMBench, in English."""

from modalink.scoring.benchmarks import _mmbench
from modalink.scoring.benchmarks._base import Asking, ItemBenchmark

benchmark = ItemBenchmark(
    title="MMBench",
    rule=_mmbench.rule_of,
    source="Liu et al. 2023; open-compass/VLMEvalKit, multiple_choice.py and matching_util.py; prompt of "
    "haotian-liu/LLaVA",
    unit="percent",
    annotations="mmbench_dev_20230712.tsv and the like: index, question, hint, A to D, answer, category, l2-category",
    predictions="upload .xlsx with index and prediction (its answer column serves as annotation), or rows "
    "{question_id, text}",
    options=_mmbench.MmbenchOptions,
    questions=_mmbench.questions,
    replies=_mmbench.replies,
    grade=_mmbench.grade,
    summarise=_mmbench.summarise,
    asking=Asking(files=("mmbench_dev_2*.tsv", "MMBench_DEV_EN*.tsv"), reply_field="prediction"),
    prompt=_mmbench.prompt,
    self_contained=True,
)
