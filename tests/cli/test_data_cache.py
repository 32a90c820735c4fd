"""`modalink data cache`: a summary for people and for scripts, words for what is wrong."""

import json


def test_a_recipe_is_weighed_filled_and_found_filled(modalink, recipe, tmp_path):
    options = ("data", "cache", recipe, "stages.0.precision=float32", "--cache", tmp_path / "features")
    dry = modalink(*options, "--dry-run").stdout
    assert "inputs.image.encoder: " in dry and " to compute, 0 there before\n" in dry
    assert "would be computed and kept; at most 10.0 GB are kept there (cache_bytes)" in dry
    filled = modalink(*options)
    assert filled.exit_code == 0 and "pretrain: 4 of 4 samples" in filled.stdout
    (line,) = modalink(*options, "--json").stdout.splitlines()
    (part,) = json.loads(line)["parts"].values()
    assert part["computed"] == 0 and part["tokens"] == 64 * part["items"] > 0
    assert f"{part['items']} items, {part['tokens']} tokens" in dry


def test_what_is_wrong_is_said(modalink, recipe, tmp_path):
    off = modalink("data", "cache", recipe, "--cache", "off")
    assert off.exit_code == 2 and "found the cache off, needed a folder" in off.stderr
    full = modalink("data", "cache", recipe, "--cache", tmp_path / "features", "--cache-bytes", "20kB")
    assert full.exit_code == 1 and "the cache takes no more: it is full at 20,000 bytes" in full.stdout
