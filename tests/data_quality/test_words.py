"""Words, shingles, and signatures that tell how alike two sets are."""

from itertools import pairwise

import numpy as np

from modalink.data_quality.words import likeness, shingles, signature, words


def test_words_forget_case_signs_and_forms_of_letters():
    assert words("The ﬁne Cat's  tail — 3.5!") == ["the", "fine", "cat", "s", "tail", "3", "5"]
    assert words("我看 STRASSE straße") == ["我", "看", "strasse", "strasse"]
    assert words(" ?!") == []


def test_shingles_are_words_and_neighbouring_pairs():
    assert len(shingles("a b a b")) == 4  # a, b, a b, b a
    assert likeness(shingles("a b c"), shingles("A, b: c.")) == 1
    assert likeness(shingles("a b"), shingles("a c")) == 1 / 5
    assert likeness(shingles("a"), shingles("b")) == 0
    assert likeness(shingles(""), shingles("")) == 1 and likeness(shingles(""), shingles("a")) == 0


def test_a_signature_estimates_the_likeness():
    """The error of 128 numbers has a standard deviation of at most 0.044; datasketch's has 0.038 on these sets."""
    rng = np.random.default_rng(0)
    errors = []
    for shift in rng.integers(0, 100, 200):
        names = [f"w{n}" for n in rng.permutation(4000)[:200]]
        one, other = shingles("".join(names[:100])), shingles("".join(names[shift : 100 + shift]))
        one, other = (
            np.unique(np.concatenate([shingles(n) for n in part])) for part in (names[:100], names[shift : 100 + shift])
        )
        errors.append((signature(one) == signature(other)).mean() - likeness(one, other))
    assert abs(np.mean(errors)) < 0.01 and np.std(errors) < 0.05


def test_signatures_of_nothing():
    assert (signature(shingles("")) == 2**32 - 1).all() and signature(shingles("a"), 32).shape == (32,)


def test_numbers_of_a_signature_do_not_order_the_set_alike():
    """Each would choose the same element if the functions were not independent."""
    rows = shingles(" ".join(f"w{n}" for n in range(60)))
    chosen = {int(np.argmin([signature(rows[at : at + 1])[place] for at in range(len(rows))])) for place in range(64)}
    assert len(chosen) > 30
    assert all(low < high for low, high in pairwise(rows.tolist()))
