"""Templates: found, replaced, reset, and never empty."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from engine.errors import Conflict, InvalidRequest, TemplateBroken
from engine.pipelines.content.templates import (
    CONTENT_TYPES,
    PACKAGED,
    PLACEHOLDERS,
    STAGES,
    Stage,
    Template,
    Templates,
)
from engine.pipelines.content.validator import ContentType

OWN = "Write {{NUM_QUESTIONS}} on {{FOCUS_AREAS}}:\n{{TEXT_TO_ANALYZE}}"


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
@pytest.mark.parametrize("stage", STAGES)
def test_each_type_and_stage_has_a_packaged_template(
    content_type: ContentType, stage: Stage
) -> None:
    """The generator's and the formatter's template for the content type, from files."""
    template = Templates().load(content_type, stage)

    data = (PACKAGED / f"{content_type.lower()}_{stage}.md").read_bytes()
    assert template.text == data.decode()
    assert template.hash == hashlib.sha256(data).hexdigest()
    assert template.is_default
    for placeholder in PLACEHOLDERS:
        assert f"{{{{{placeholder}}}}}" in template.text


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_formatters_take_source_attributions_and_quotation_marks_out(
    content_type: ContentType,
) -> None:
    """Removes source attributions ("the text states", …) and quotation marks."""
    text = Templates().load(content_type, "formatter").text
    assert '"the text states", "according to the passage"' in text
    assert "Remove quotation marks" in text


def test_an_operators_template_comes_before_the_packaged_one(tmp_path: Path) -> None:
    """From files that an operator can replace; the others stay as they are."""
    (tmp_path / "mcq_generator.md").write_text(OWN)
    templates = Templates(tmp_path)

    own = templates.load("MCQ", "generator")
    assert (own.text, own.is_default) == (OWN, False)
    assert templates.load("MCQ", "formatter").is_default
    assert templates.load("NMCQ", "generator").is_default


def test_a_change_is_seen_by_the_next_load(tmp_path: Path) -> None:
    """A change needs no restart, and shows in the hash."""
    templates = Templates(tmp_path)
    before = templates.load("MCQ", "generator")
    after = templates.replace("MCQ", "generator", OWN)

    assert templates.load("MCQ", "generator") == after
    assert after.text == OWN
    assert after.hash != before.hash
    assert [path.name for path in tmp_path.iterdir()] == ["mcq_generator.md"]
    assert templates.reset("MCQ", "generator") == before
    assert templates.reset("MCQ", "generator") == before


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b" \n ", "is empty"),
        (b"\xff\xfe{{TEXT_TO_ANALYZE}}", "is not UTF-8"),
        (b"no placeholder", "does not contain {{TEXT_TO_ANALYZE}}"),
        (b"{{TEXT_TO_ANALYSE}} {{TEXT_TO_ANALYZE}}", "unknown placeholder {{TEXT_TO_ANALYSE}}"),
        (b"{{TEXT_TO_ANALYZE}}" + b"x" * 300_000, "is larger than 262,144 bytes"),
    ],
)
def test_an_unusable_template_is_an_error_that_names_its_file(
    tmp_path: Path, data: bytes, says: str
) -> None:
    """An error that names the file, never an empty prompt."""
    path = tmp_path / "summary_formatter.md"
    path.write_bytes(data)
    with pytest.raises(TemplateBroken) as caught:
        Templates(tmp_path).load("SUMMARY", "formatter")
    assert str(path) in caught.value.message
    assert says in caught.value.message


def test_a_missing_template_is_an_error_that_names_its_file(tmp_path: Path) -> None:
    """A missing one is an error that names the file."""
    with pytest.raises(TemplateBroken) as caught:
        Templates(tmp_path / "own", packaged=tmp_path).load("NMCQ", "formatter")
    assert str(tmp_path / "nmcq_formatter.md") in caught.value.message


def test_a_template_that_cannot_be_read_does_not_fall_back(tmp_path: Path) -> None:
    """An operator's template that cannot be read is an error, not silently the default."""
    (tmp_path / "mcq_generator.md").mkdir()
    with pytest.raises(TemplateBroken, match="cannot be read"):
        Templates(tmp_path).load("MCQ", "generator")


def test_an_unusable_text_replaces_nothing(tmp_path: Path) -> None:
    """PUT of a template that could not be used is `invalid_request`."""
    templates = Templates(tmp_path)
    with pytest.raises(InvalidRequest) as caught:
        templates.replace("MCQ", "generator", "{{FOO}}")
    assert [path for path, _ in caught.value.details] == ["text", "text"]
    assert templates.load("MCQ", "generator").is_default


def test_without_a_folder_nothing_can_be_replaced() -> None:
    """The packaged files are never written to."""
    with pytest.raises(Conflict):
        Templates().replace("MCQ", "generator", OWN)
    with pytest.raises(Conflict):
        Templates().reset("MCQ", "generator")


def test_the_listing_has_all_of_them(tmp_path: Path) -> None:
    """GET /api/prompts: the templates."""
    templates = Templates(tmp_path)
    templates.replace("NMCQ", "formatter", OWN)
    listing = templates.listing()
    assert [(each.content_type, each.stage) for each in listing] == [
        (content_type, stage) for content_type in CONTENT_TYPES for stage in STAGES
    ]
    assert [each.is_default for each in listing] == [True, True, True, False, True, True]


def test_what_a_value_contains_is_not_filled_in_again() -> None:
    """Source notes may hold a placeholder's name; they are material, not a template."""
    template = Template(content_type="MCQ", stage="generator", text=OWN, hash="", is_default=True)
    filled = template.fill(
        {"TEXT_TO_ANALYZE": "{{NUM_QUESTIONS}}", "NUM_QUESTIONS": "3", "FOCUS_AREAS": "\\1"}
    )
    assert filled == "Write 3 on \\1:\n{{NUM_QUESTIONS}}"
