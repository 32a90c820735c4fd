"""The kinds of check, one file each; `--check duplicates` is the settings class in `duplicates.py`."""
