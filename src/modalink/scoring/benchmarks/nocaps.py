"""NoCaps: images of things that COCO's captions name, name rarely, or never; ten captions each."""

from modalink.scoring.benchmarks._captions import captions

benchmark = captions(
    "NoCaps",
    "Agrawal et al. 2019; prompt of lmms-eval",
    "nocaps_val_4500_captions.json: {images: [{id, domain}], annotations: [{image_id, caption}]}",
    "Provide a one-sentence caption for the provided image.",
    ("nocaps_val_4500_captions.json",),
)
