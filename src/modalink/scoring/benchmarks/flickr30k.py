"""Flickr30k captions: people and animals doing things, five captions each."""

from modalink.scoring.benchmarks._captions import captions

benchmark = captions(
    "Flickr30k captions",
    "Young et al. 2014; Karpathy's split; prompt of lmms-eval",
    "dataset_flickr30k.json of Karpathy's split, or rows {id, references}",
    "Provide a one-sentence caption for the provided image.",
    ("dataset_flickr30k.json",),
)
