"""The lexicon: enough terms, wordings without repeats, some of them held out."""

from __future__ import annotations

from fve_pipeline.catalog import load_catalog
from fve_pipeline.catalog.lexicon import is_held_out, lexicon, lexicon_sources, wordings
from fve_pipeline.catalog.load import shipped_catalogs


def test_there_are_a_thousand_terms_with_wordings() -> None:
    terms = lexicon()
    assert len(terms) >= 1000
    assert all(len(said) >= 2 and len(set(said)) == len(said) for said in terms.values())
    assert len(lexicon_sources()) >= 5


def test_shipped_classes_are_found_by_their_names() -> None:
    assert wordings("Left Kidney", held_out=None)[0] == wordings("kidney_left", held_out=None)[0]
    assert "L3 vertebra" in wordings("vertebrae_L3", held_out=None)
    names = {
        spec.name
        for name in ("totalsegmentator_ct", "amos22_ct", "btcv", "word", "flare22")
        for spec in load_catalog(name).classes
    }
    known = [name for name in names if len(wordings(name, held_out=None)) > 1]
    assert len(known) > 0.7 * len(names), sorted(names - set(known))
    assert {"amos22_ct", "word"} <= set(shipped_catalogs())


def test_a_fifth_of_the_wordings_is_kept_for_a_test() -> None:
    held = trained = 0
    for term in lexicon():
        every = set(wordings(term, held_out=None))
        kept, out = set(wordings(term)), set(wordings(term, held_out=True))
        assert kept | out == every
        assert not kept & out
        assert wordings(term)[0] == wordings(term, held_out=None)[0]
        assert all(is_held_out(one) for one in out)
        held, trained = held + len(out), trained + len(kept)
    assert 0.05 < held / (held + trained) < 0.2


def test_an_unknown_name_stands_for_itself() -> None:
    assert wordings("Zorbulax") == ("zorbulax",)
    assert wordings("Zorbulax", held_out=True) == ()
