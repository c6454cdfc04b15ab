"""The single pass says what scikit-learn's pipeline says, and why."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mail_corpus import OPENINGS, write_own

from classifier import corpus, explain, features
from classifier.acts import ACTS, plain, segments
from classifier.examples import message_of
from classifier.model import MODEL_NAME, MODELS, Manifest, Model
from classifier.scorer import Scorer, Scores, settled
from classifier.sentences import LONGEST, MOST, sentences
from classifier.tactics import find
from classifier.text import PLACEHOLDERS, normalise
from classifier.train import fit
from classifier.verdict import LABELS


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A pipeline trained on the tests' own corpus."""
    folder = tmp_path_factory.mktemp("own")
    write_own(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "OWN", folder)
        return fit(corpus.read().items)[0]


@pytest.fixture(scope="module")
def shipped() -> Any:
    return joblib.load(Path(MODELS) / MODEL_NAME)


WORDS = st.sampled_from(
    [word for lines in OPENINGS.values() for line in lines for word in line.split()]
    + [
        "\n",
        "\n\n",
        ". ",
        "? ",
        "!",
        "- ",
        *PLACEHOLDERS,
        "Hi,",
        "unheardof",
        "ß",
        "Ω",
        "we",
        "our",
    ]
)
TEXTS = st.one_of(st.lists(WORDS, max_size=60).map(" ".join), st.text(max_size=200))


@settings(max_examples=150, deadline=None)
@given(text=TEXTS)
def test_one_pass_says_what_the_pipeline_says(small: Any, text: str) -> None:
    expected = small.predict_proba([text])[0]
    assert Scorer(small).score(text).probabilities == pytest.approx(expected, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=4))
def test_so_it_does_for_the_shipped_model(shipped: Any, texts: list[str]) -> None:
    scorer = Scorer(shipped)
    found = np.array([scorer.score(text).probabilities for text in texts])
    assert found == pytest.approx(shipped.predict_proba(texts), abs=1e-12)


@pytest.mark.parametrize(("known", "pitch"), [(0, 0.02), (14, 0.51), (28, 1.0), (99, 1.0)])
def test_a_mail_that_says_little_is_drawn_towards_delivery(known: int, pitch: float) -> None:
    nothing = np.zeros((0, 3))
    certain = np.array([1.0, 0.0, 0.0, 0.0])
    scores = Scores(
        *(certain, ("",), nothing, nothing), np.arange(known), np.ones(known), np.zeros((2, 0))
    )
    found = settled(scores)
    assert found["pitch"] == pytest.approx(pitch)
    assert sum(found.values()) == pytest.approx(1)


@settings(max_examples=50, deadline=None)
@given(text=TEXTS)
def test_the_acts_are_the_recognisers(small: Any, text: str) -> None:
    recogniser = small.named_steps["features"].transformer_list[1][1].recogniser
    (expected,) = recogniser.acts([text])
    assert Scorer(small).score(text).acts == pytest.approx(expected, abs=1e-12)


@pytest.fixture
def knowing(small: Any) -> Any:
    """The small pipeline, and that it knows two tactics by one word each."""
    pipeline = copy.deepcopy(small)
    recogniser = pipeline.named_steps["features"].transformer_list[1][1].recogniser
    terms = recogniser.vectorizer.vocabulary_
    for name, word in (("bait-offer", "free"), ("urgency", "apps")):
        weights = np.zeros(len(terms) + 1)
        weights[terms[word]], weights[-1] = 9.0, -2.0
        recogniser.tactics[name] = weights
    return pipeline


def test_the_tactics_are_a_regression_on_the_same_terms(knowing: Any) -> None:
    recogniser = knowing.named_steps["features"].transformer_list[1][1].recogniser
    subject, body = "Apps", ["We build mobile apps.", "Can I send you a free quote?", "Bye."]
    rows = recogniser.vectorizer.transform(features.sentence_terms(subject, body))
    weights = np.array(list(recogniser.tactics.values()))
    expected = rows @ weights[:, :-1].T + weights[:, -1]
    scores = Scorer(knowing).score("\n".join([subject, "", *body]))
    assert scores.tactics == pytest.approx(expected, abs=1e-12)
    assert Scorer(knowing).score("").tactics.shape == (0, 2)


def test_a_tactic_is_seen_in_the_sentence_that_shows_it_most(knowing: Any) -> None:
    message = message_of("Jo Doe <jo@x.example>", "Apps", PITCH)
    scorer = Scorer(knowing)
    scores = scorer.score(normalise(message))
    found = explain.seen(scorer, scores, explain.spans(scores, message))
    assert list(found) == ["bait-offer", "urgency"]
    offer = found["bait-offer"]
    assert (
        message.own_text[offer.start : offer.end] == "Can I send you a free quote and a proposal?"
    )
    assert offer.anywhere == offer.there > -2
    signed = replace(message, signature="Free apps, free quotes!")
    scores = scorer.score(normalise(signed))
    again = explain.seen(scorer, scores, explain.spans(scores, signed))
    assert [again[name][2:] for name in again] == [found[name][2:] for name in found]
    assert again["urgency"].anywhere > again["urgency"].there
    nothing = explain.seen(scorer, scorer.score(""), [(0, 0)])
    assert nothing["urgency"] == (-math.inf, -math.inf, 0, 0)


def test_a_verdict_names_what_the_model_sees(knowing: Any) -> None:
    manifest = Manifest(*("x",) * 6, LABELS, {}, {}, {}, 1.0, {})
    message = message_of("Jo Doe <jo@x.example>", "Apps", PITCH * 2)
    assert "urgency" not in {tactic.name for tactic in find(message, pitch=True)}
    verdict = Model(manifest, knowing).judge(message)
    assert verdict.label == "pitch"
    said = {tactic.name: tactic.quote for tactic in verdict.tactics}
    assert said["urgency"].startswith("We build mobile apps")


def test_a_sentence_ends_where_a_reader_ends_it() -> None:
    text = (
        "Hi Dr. Lang, we met, e.g. in May.\nDid we? I think so!\n"
        "This line is so long that it was wrapped by the client and\ngoes on here.\n- one\n- two\n"
        "Short. This one begins within a line that was wrapped\nand this is its end\nTom\n"
        "A line of sixty characters or more that goes on with a Great\nName, as do those\nJo"
    )
    assert sentences(text) == [
        "Hi Dr. Lang, we met, e.g. in May.",
        "Did we?",
        "I think so!",
        "This line is so long that it was wrapped by the client and\ngoes on here.",
        "- one",
        "- two",
        "Short.",
        "This one begins within a line that was wrapped\nand this is its end",
        "Tom",
        "A line of sixty characters or more that goes on with a Great\nName, as do those",
        "Jo",
    ]


def test_a_text_without_end_is_cut() -> None:
    assert sentences("") == []
    assert [len(one) for one in sentences("a" * 5000)] == [LONGEST]
    assert len(sentences("Yes. " * 5000)) == MOST


def test_terms_are_words_pairs_and_stems_within_a_sentence() -> None:
    assert features.mail_terms("Offer\nWould you? Yes.") == [
        "offer",
        *("would", "you", "?", "would you", "you ?"),
        "yes",
    ]
    assert features.terms(["pricing", "now"]) == ["pricing", "now", "pricing now", "~prici"]


def test_a_sentence_knows_its_place_and_its_neighbours() -> None:
    first, last = features.sentence_terms("Deal", ["We sell.", "Call me?"])
    assert {"we", "sell", "we sell", "@0", "$1", "#0", "<deal", ">call", ">me", ">?"} == set(first)
    assert {"@1", "$0", "<we", "<sell"} <= set(last)
    assert features.sentence_terms("Deal", []) == []


def test_the_shape_counts_what_it_names() -> None:
    text = "why?\n\nBuy NOW!\n\n- xxlinkxx\n- xxlinkxx ok?"
    subject, body = features.subject_and_sentences(text)
    row = features.shape(text, [features.words(one) for one in (subject, *body)])
    named = dict(zip(features.SHAPE, row, strict=True))
    assert len(row) == len(features.SHAPE)
    assert named["links"] == pytest.approx(np.log(3))
    assert named["list items"] == pytest.approx(np.log(3))
    assert (named["subject asks"], named["subject in small letters"]) == (1, 1)
    assert named["ends with a question"] == 1
    assert named["capitals"] == pytest.approx(4 / 24)
    empty = dict(zip(features.SHAPE, features.shape("", [[]]), strict=True))
    assert set(empty.values()) == {0}


def test_a_marked_text_is_taken_apart() -> None:
    marked = "<greet>Hi,\n\n<offer>We sell <b>. <meet>Call?"
    assert segments(marked) == [("greet", "Hi,\n\n"), ("offer", "We sell <b>. "), ("meet", "Call?")]
    assert plain(marked) == "Hi,\n\nWe sell <b>. Call?"
    for unmarked in ("", "Hi", "Hi <offer>there", "<nothing>Hi"):
        with pytest.raises(ValueError, match="no act before"):
            segments(unmarked)


def explained(pipeline: Any, subject: str, text: str) -> tuple[Any, Any]:
    message = message_of("Jo Doe <jo@x.example>", subject, text)
    scorer = Scorer(pipeline)
    scores = scorer.score(normalise(message))
    return message, explain.terms(scorer, scores, message, explain.spans(scores, message))


PITCH = (
    "Hi Ana,\n\nWe build mobile apps for companies like yours at affordable prices, see "
    "https://apps.example.\nCan I send you a free quote and a proposal?\n\nJo"
)


def test_a_sentence_is_named_with_its_act_where_it_stands(small: Any) -> None:
    message, found = explained(small, "Apps", PITCH)
    said = {term.act: term for term in found if term.is_sentence}
    assert {"offer", "meet"} <= set(said)
    for term in said.values():
        spot = " ".join(message.own_text[term.start : term.end].split())
        assert term.act == "subject" or spot == term.text
    assert said["offer"].text.startswith("We build mobile apps")
    assert said["offer"].text.endswith("https://apps.example.")
    assert said["meet"].weight > 0


def test_a_greeting_is_no_reason(small: Any) -> None:
    message = message_of("Jo Doe <jo@x.example>", "Apps", PITCH)
    scorer = Scorer(small)
    scores = scorer.score(normalise(message))
    scorer.voices = tuple(("greet", label) for _, label in scorer.voices)
    found = explain.terms(scorer, scores, message, explain.spans(scores, message))
    assert {term.act for term in found if term.is_sentence} <= {"subject"}


def test_what_a_sentence_weighs_is_what_the_score_loses_without_it(small: Any) -> None:
    scorer = Scorer(small)
    acts = scorer.score("Apps\n\nWe build apps. Can I send you a free quote? See you soon.").acts
    gradient = scorer.act_weights[0]
    lost = explain._by_acts(gradient, acts)
    for at in range(len(acts)):
        without = features.summary(np.delete(acts, at, axis=0))
        assert lost[at] == pytest.approx(gradient @ (features.summary(acts) - without))
    assert explain._by_acts(gradient, acts[:1]) == pytest.approx(
        gradient @ features.summary(acts[:1])
    )
    assert len(explain._by_acts(gradient, acts[:0])) == 0


def test_words_are_named_as_the_mail_spells_them_and_never_stems(small: Any) -> None:
    _, found = explained(small, "Apps", PITCH.replace("mobile", "MOBILE"))
    named = [term.text for term in found if not term.is_sentence]
    assert "MOBILE" in " ".join(named)
    assert not [name for name in named if name.startswith("~") or name in PLACEHOLDERS]


OFFER = "We build mobile apps for companies like yours at affordable prices."
FOOTER = "\n".join(
    ["_" * 20, "Talk mailing list", "talk@lists.example", "listinfo we build", "x", "y"]
)


@pytest.mark.parametrize(
    "before",
    [
        "we " * 700,  # a sentence that is cut
        FOOTER + "\n\n",  # lines that are left out
        "We saw https://we.example/build and 44 of them. " * 20,
        "Wir bauen. " * 200,
    ],
)
def test_a_sentence_is_quoted_from_where_it_stands_or_not_placed(small: Any, before: str) -> None:
    message, found = explained(small, "Apps", f"{before} {OFFER}\nCan I send you a free quote?")
    placed = [term for term in found if term.end]
    assert all(len(term.text) < 1500 for term in found)
    for term in placed:
        assert term.text == " ".join(message.own_text[term.start : term.end].split())
    offers = [term.text for term in placed if "affordable" in term.text]
    assert [text for text in offers if OFFER not in text] == []


def test_placeholders_are_readable_wherever_they_stand(small: Any) -> None:
    _, found = explained(small, "Free quote: save 50%, or $500!", PITCH)
    shown = {term.act: term.text for term in found}
    assert shown.get("subject", "[percent], or [sum]!").endswith("[percent], or [sum]!")
    assert explain.shown("save xxpercentxx, or XXMONEYXX!") == "save [percent], or [sum]!"


def test_a_sentence_of_no_sure_act_is_a_sentence_still(small: Any) -> None:
    voices = (("meet", "pitch"), ("offer", "personal"), ("offer", "pitch"))
    acts = np.array([[0.3, 0.3, 0.4], [0.3, 0.2, 0.1], [0.5, 0.2, 0.2]])
    assert explain._named(acts, voices) == ["offer", "unsure", "meet"]
    assert explain._named(acts[:0], voices) == []
    _, found = explained(small, "", "Zyx wvu tsr. " + OFFER)
    assert all(term.is_sentence == bool(term.act) for term in found)


def test_an_empty_mail_has_nothing_to_explain(small: Any) -> None:
    assert explained(small, "", "")[1] == ()


def test_every_act_is_documented() -> None:
    assert all(ACTS.values())
    assert len(features.JUDGED) == len(ACTS) - 1
