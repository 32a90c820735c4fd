"""The measures of the benchmarks, one file each; libraries of the field wherever they give the official number."""
