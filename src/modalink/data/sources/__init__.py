"""The kinds of data source, one file each; `source: pairs` in a recipe is the settings class in `pairs.py`."""
