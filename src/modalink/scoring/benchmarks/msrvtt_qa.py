"""MSRVTT-QA: one-word answers about clips of web videos, with what, who, how, when, where."""

from modalink.scoring.benchmarks._video_qa import video_qa

benchmark = video_qa("MSRVTT-QA", "Xu et al. 2017", "test_qa.json: [{id, question, answer, video_id}]")
