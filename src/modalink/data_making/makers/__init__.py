"""The kinds of maker, one file each; `--kind conversation` is the settings class in `conversation.py`."""
