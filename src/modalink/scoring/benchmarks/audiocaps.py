"""AudioCaps: sounds of the world, five captions each in the test split; say how many clips were left to download."""

from modalink.scoring.benchmarks._captions import captions

benchmark = captions(
    "AudioCaps",
    "Kim et al. 2019; the DCASE scores are those of coco-caption, and SPIDEr = (CIDEr + SPICE) / 2",
    "test.csv: audiocap_id, youtube_id, start_time, caption, one row a caption; or rows {id, references}",
    "Describe the sound in one sentence.",
    ("test.csv",),
    "audio",
)
