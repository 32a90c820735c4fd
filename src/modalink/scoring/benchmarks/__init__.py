"""The benchmarks, one file a family, with a table `BENCHMARKS`: files, prompt, rule and source of each."""
