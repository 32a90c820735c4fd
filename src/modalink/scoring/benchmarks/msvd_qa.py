"""MSVD-QA: one-word answers about short videos, with what, who, how, when, where."""

from modalink.scoring.benchmarks._video_qa import video_qa

benchmark = video_qa("MSVD-QA", "Xu et al. 2017", "test_qa.json: [{id, question, answer, video_id}]")
