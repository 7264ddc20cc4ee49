"""Every reason of refusal has words that an operator understands."""

from __future__ import annotations

import pytest
from django.utils.functional import Promise

from django_clientcert.exceptions import Reason
from django_clientcert.explaining.reasons import EXPLANATIONS, explain


def test_every_reason_is_explained() -> None:
    """Nothing is refused without words for it, and no words are left over."""
    assert set(EXPLANATIONS) == set(Reason)


@pytest.mark.parametrize("reason", list(Reason), ids=str)
def test_explanation_is_two_translatable_sentences(reason: Reason) -> None:
    """One sentence each for what it means and what to change, translated late."""
    for text in explain(reason):
        assert isinstance(text, Promise)
        sentence = str(text)
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert ". " not in sentence
        assert sentence.isprintable()


def test_explanations_differ() -> None:
    """No two reasons share their words."""
    meanings = [str(one.meaning) for one in EXPLANATIONS.values()]
    assert len(set(meanings)) == len(meanings)
