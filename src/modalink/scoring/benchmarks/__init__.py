"""The benchmarks, one file each, named after it: its files, its prompt, its rule, its source."""
