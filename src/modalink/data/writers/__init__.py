"""The kinds of writer, one file each; `--to llava` is the settings class in `llava.py`."""
