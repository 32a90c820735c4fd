"""MSRVTT-QA with a judge, who accepts an answer in other words."""

from modalink.scoring.benchmarks._video_qa import video_qa_judge

benchmark = video_qa_judge("MSRVTT-QA", "Xu et al. 2017", "test_qa.json: [{id, question, answer, video_id}]")
