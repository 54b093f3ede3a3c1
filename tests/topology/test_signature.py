"""Signatures as the literature writes them, and the labels they stand for."""

import pytest

from ovito_glassml.topology.signature import (
    SignatureError,
    cluster_label,
    format_signature,
    label_name,
    label_number,
    make_signature,
    parse_signature,
    signature_number,
)

# Table 3 of the paper that introduced the SCNN descriptors.
PUBLISHED_LABELS = {
    "[12/555]": "Z12",
    "[2/433, 2/544, 8/555]": "1-Z12",
    "[1/444, 10/555, 2/666]": "A13",
    "[2/444, 8/555, 2/666]": "B12",
    "[3/444, 6/555, 4/666]": "C13",
    "[12/555, 4/666]": "Z16",
    "[1/433, 3/544, 9/555, 2/666]": "1-A15",
    "[2/422, 2/433, 2/544, 6/555]": "2-Z12",
    "[2/444, 8/555, 1/666]": "B11",
    "[1/421, 3/433, 3/544, 5/555]": "2-Z12",
}

# Its Table 2: the prototypes' clusters.
PUBLISHED_PROTOTYPES = [
    "[2/433, 2/444, 2/544, 4/555, 2/666]",
    "[3/444, 6/555, 6/666]",
    "[12/555]",
    "[1/421, 2/433, 4/544, 6/555, 1/666]",
]


@pytest.mark.parametrize(("text", "label"), PUBLISHED_LABELS.items())
def test_published_labels(text, label):
    assert cluster_label(parse_signature(text)) == label


@pytest.mark.parametrize("text", [*PUBLISHED_LABELS, *PUBLISHED_PROTOTYPES, "[1/000, 2/10.9.8]", "[]"])
def test_signatures_survive_reading_and_writing(text):
    assert format_signature(parse_signature(text)) == text


def test_prototypes_have_as_many_neighbours_as_published():
    sizes = [sum(count for count, _ in parse_signature(text)) for text in PUBLISHED_PROTOTYPES]
    assert sizes == [12, 15, 12, 14]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("[12/421]", "fcc"),
        ("[6/421, 6/422]", "hcp"),
        ("[6/444, 8/666]", "bcc"),
        ("[12/555, 2/666]", "Z14"),
        ("[12/555, 3/666]", "Z15"),
        ("[5/433, 6/555]", "2-A11"),  # a pentagonal hole
        ("[4/433, 4/544, 4/555]", "2-Z12"),
        ("[6/444]", "F6"),  # an octahedron, as closed as the others
        ("[11/421]", ""),
        ("[12/422]", ""),
        ("[4/333]", ""),  # a tetrahedron: no four or five common neighbours
        ("[1/000]", ""),
        ("[]", ""),
    ],
)
def test_other_labels(text, label):
    assert cluster_label(parse_signature(text)) == label


def test_no_label_with_three_bonds_missing():
    """Each quadrilateral hole in an icosahedron's shell costs one bond and opens four rings."""
    assert cluster_label(parse_signature("[6/433, 6/544]")) == ""


def test_notation_is_forgiving_and_wrong_text_is_not_guessed_at():
    expected = make_signature([(4, 3, 3)] * 2 + [(5, 5, 5)] * 8 + [(5, 4, 4)] * 2)
    assert parse_signature("8/S555,2/433 , 1/544, 1/544") == expected
    for text in ("12", "12/55", "Z12", "12/5555", "-1/555"):
        with pytest.raises(SignatureError, match="is no signature"):
            parse_signature(text)


def test_numbers_of_labels_are_fixed_and_distinct():
    """Saved sessions and scripts depend on them."""
    numbers = {label: label_number(label) for label in ("", "fcc", "hcp", "bcc", "Z12", "A13", "B12", "1-Z12", "2-A14")}
    assert numbers == {
        "": 0, "fcc": 1, "hcp": 2, "bcc": 3, "Z12": 12, "A13": 113, "B12": 212, "1-Z12": 10012, "2-A14": 20114,
    }  # fmt: skip
    assert {label_name(number): number for number in numbers.values()} == numbers
    for label in ("Q12", "z12", "1Z12"):
        with pytest.raises(SignatureError, match="is no label"):
            label_number(label)


def test_numbers_of_signatures_are_fixed_and_distinct():
    numbers = [signature_number(parse_signature(text)) for text in [*PUBLISHED_LABELS, *PUBLISHED_PROTOTYPES[:2]]]
    assert len(set(numbers)) == len(numbers)
    assert all(0 < number < 2**31 for number in numbers)
    assert numbers[0] == 564000565
    assert signature_number(()) == 0
