"""COCO captions: everyday images, five captions each."""

from modalink.scoring.benchmarks._captions import captions

benchmark = captions(
    "COCO captions",
    "Chen et al. 2015; Karpathy's split; prompt of lmms-eval",
    "captions_val2014.json: {annotations: [{image_id, caption}]}, dataset_coco.json, or rows {id, references}",
    "Provide a one-sentence caption for the provided image.",
    ("dataset_coco.json", "captions_val2014.json", "captions_val2017.json"),
)
