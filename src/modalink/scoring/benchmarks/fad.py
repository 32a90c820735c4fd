"""FAD: how far generated sounds are from real ones."""

from modalink.scoring.benchmarks._distance import distance

benchmark = distance(
    "FAD",
    "audio",
    "Kilgour et al. 2019; gudgud96/frechet-audio-distance",
    "VGGish of 16 kHz mono, or name PANN or CLAP",
)
