"""ActivityNet-QA with a judge, who accepts an answer in other words."""

from dataclasses import replace

from modalink.scoring.benchmarks import activitynet_qa
from modalink.scoring.benchmarks._video_qa import video_qa_judge

benchmark = replace(
    video_qa_judge("ActivityNet-QA", "Yu et al. 2019", activitynet_qa.benchmark.annotations, ("test_a.json",)),
    questions=activitynet_qa.questions,
)
