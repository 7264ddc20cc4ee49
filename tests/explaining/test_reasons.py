"""Every reason for a refusal is explained to the operator."""

from __future__ import annotations

import pytest
from django.utils.functional import Promise

from django_clientcert.exceptions import Reason
from django_clientcert.explaining.reasons import EXPLANATIONS


def test_every_reason_is_explained() -> None:
    """No reason without an explanation, and no explanation without a reason."""
    assert set(EXPLANATIONS) == set(Reason)


@pytest.mark.parametrize("reason", list(Reason), ids=str)
def test_explanation_is_two_translatable_sentences(reason: Reason) -> None:
    """One sentence each for what it means and what to change, translated late."""
    for text in EXPLANATIONS[reason]:
        assert isinstance(text, Promise)
        sentence = str(text)
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert ". " not in sentence
        assert sentence.isprintable()


def test_explanations_differ() -> None:
    """No two reasons have the same meaning."""
    meanings = [str(explanation.meaning) for explanation in EXPLANATIONS.values()]
    assert len(set(meanings)) == len(meanings)
