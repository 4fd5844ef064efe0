"""The client commands on a terminal: bars, columns, a conversation, Ctrl-C, JSON, exit codes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.system.reading import http
from tests.system.server_process import open_server
from tests.system.terminal import CTRL_C, CTRL_D, Terminal, open_terminal

pytestmark = pytest.mark.system

FAST = {"ANTIPHON_SIM_TOKENS_PER_S": "0", "ANTIPHON_SIM_TTFT_MS": "0", "ANTIPHON_OFFLINE": "1"}
PACED = {**FAST, "ANTIPHON_SIM_TOKENS_PER_S": "150"}
SLOW = {
    **FAST,
    "ANTIPHON_SIM_TOKENS_PER_S": "20",
    "ANTIPHON_SIM_OUTPUT_TOKENS": "2000",
}
TIDES = ("generate", "Explain tides", "--phases", "idea", "--count", "1")
PANEL = ("chat", "--persona", "creative_writer", "--persona", "data_scientist", "What is AI?")
BRIEF = {
    "theme_title": "Dreams Unchained",
    "theme_description": "How the surrealists painted dreams and the unconscious, and why.",
    "theme_concepts": ["surrealism", "dreams"],
}
RECEIPT = re.compile(r"^cancelled; receipt: (\{.*\})$", re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the commands find what they read."""
    (tmp_path / "notes.txt").write_text("The heart pumps blood through the body in two circuits.")
    (tmp_path / "brief.json").write_text(json.dumps(BRIEF))
    return tmp_path


async def interrupt(terminal: Terminal) -> None:
    """Press Ctrl-C, and look at the end: the receipt on stderr alone, exit code 130."""
    terminal.type(CTRL_C)
    code = await terminal.ended()
    assert code == 130, terminal.errors
    receipts = RECEIPT.findall(terminal.errors)
    assert len(receipts) == 1, terminal.errors
    assert json.loads(receipts[0])["accepted_at_seq"] >= 0
    assert "receipt" not in terminal.text


# ---- bars ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "bar", "result"),
    [
        (TIDES, "1/1 prompts", "tides"),
        (("content", "notes.txt", "--type", "SUMMARY"), "100%", "Key Insight"),
        (
            ("rate", "notes.txt", "--rater", "ada=Be strict.", "--rater", "bob=Be kind."),
            "ada: ",
            "== bob",
        ),
        (("exhibit", "brief.json", "--max-artists", "2"), "100%", "Feasibility"),
    ],
    ids=["generate", "content", "rate", "exhibit"],
)
async def test_bar_and_then_the_result(
    folder: Path, words: tuple[str, ...], bar: str, result: str
) -> None:
    """Progress bars on a terminal, then the result; exit code 0, and nothing on stderr."""
    async with open_terminal(folder, *words, **FAST) as terminal:
        assert await terminal.ended() == 0
        assert terminal.errors == ""
        assert "━" in terminal.text
        assert bar in terminal.text
        assert terminal.text.rfind("━") < terminal.text.rfind(result)


@pytest.mark.parametrize(
    ("words", "begun"),
    [
        (TIDES, "at work"),
        (("content", "notes.txt", "--type", "MCQ"), "30%"),
        (("rate", "notes.txt"), "75%"),
        (("exhibit", "brief.json"), "1[0-9]%"),
        (("exhibit", "brief.json", "--choose"), "Which"),
        (PANEL, "streaming, first word"),
    ],
    ids=["generate", "content", "rate", "exhibit", "choose", "chat"],
)
async def test_ctrl_c(folder: Path, words: tuple[str, ...], begun: str) -> None:
    """Ctrl-C cancels the session and leaves the terminal as it was; exit code 130."""
    pace = FAST if "--choose" in words else SLOW
    async with open_terminal(folder, *words, **pace) as terminal:
        await terminal.wait_for(begun)
        await interrupt(terminal)


async def test_choices_are_asked_for(folder: Path) -> None:
    """With `--choose` it asks, says what is allowed, and goes on with what was chosen."""
    async with open_terminal(folder, "exhibit", "brief.json", "--choose", **FAST) as terminal:
        await terminal.wait_for("Which")
        terminal.type("0\n")
        await terminal.wait_for("Numbers from 1 to 15, each once")
        terminal.type("2 1\n")
        await terminal.wait_for("Which", times=3)
        terminal.type("3\n")
        assert await terminal.ended() == 0
        assert "Artists (2)" in terminal.text
        assert "Works (1)" in terminal.text


# ---- chat ----------------------------------------------------------------------------------------


async def test_columns_are_written_at_once(folder: Path) -> None:
    """Live columns for personas: side by side, each with its state; then the whole answers."""
    async with open_terminal(folder, *PANEL, **PACED) as terminal:
        await terminal.wait_for(
            r"─ creative_writer ─+╮╭─ data_scientist ─+╮\n│ \w.*││ \w.*│\n│ \w.*││ \w.*│\n"
        )
        await terminal.wait_for(r"streaming, first word \d\.\d s ─+╯╰─+ streaming, first word")
        assert await terminal.ended() == 0
        last = terminal.text[terminal.text.rindex("╭─ creative_writer ─") :]
        assert len(re.findall(r"─ done, first word \d\.\d s ─", last)) == 2
        assert "││" not in last, "the whole answers stand one below the other"


async def test_conversation(folder: Path) -> None:
    """Without a message a conversation: Ctrl-C stops an answer, Ctrl-D ends the talk."""
    async with (
        open_server(folder, env={**PACED, "ANTIPHON_SIM_TOKENS_PER_S": "60"}) as server,
        open_terminal(
            folder, "chat", "--persona", "data_scientist", "--url", server.url
        ) as terminal,
    ):
        await terminal.wait_for("you> ")
        terminal.type("What about the zebra?\n")
        await terminal.wait_for(r"(?s)zebra\?\n.*zebra")
        terminal.type(CTRL_C)
        await terminal.wait_for("you> ", times=2)
        assert len(RECEIPT.findall(terminal.errors)) == 1
        terminal.type("\nAnd the whale?\n")
        await terminal.wait_for("you> ", times=4)  # an empty line asks nothing
        terminal.type(CTRL_D)
        assert await terminal.ended() == 0
        _, body = await http(server.port, "GET", "/api/conversations")
        [conversation] = body["conversations"]
        path = f"/api/conversations/{conversation['conversation_id']}"
        turns = (await http(server.port, "GET", path))[1]["turns"]
    said = [turn for turn in turns if turn["role"] == "user"]
    assert [turn["content"] for turn in said] == ["What about the zebra?", "And the whale?"]
    assert "Ctrl-D ends the conversation" in terminal.errors


async def test_ctrl_c_between_answers(folder: Path) -> None:
    """Where nothing is written, Ctrl-C ends the conversation; exit code 130."""
    async with open_terminal(folder, "chat", **FAST) as terminal:
        await terminal.wait_for("you> ")
        terminal.type("Hello?\n")
        await terminal.wait_for("you> ", times=2)
        terminal.type(CTRL_C)
        assert await terminal.ended() == 130
        assert "receipt" not in terminal.errors


# ---- in between ----------------------------------------------------------------------------------


async def test_json_on_a_terminal(folder: Path) -> None:
    """`--json` gives lines of JSON, and nothing else, on a terminal as in a pipe."""
    async with open_terminal(folder, *PANEL, "--json", **FAST) as terminal:
        assert await terminal.ended() == 0
        assert "\x1b" not in terminal.raw
        messages = [json.loads(line) for line in terminal.text.splitlines()]
    assert messages[-1]["type"] == "response"
    assert {each["persona_id"] for each in messages if each["type"] == "persona_response"} == {
        "creative_writer",
        "data_scientist",
    }


@pytest.mark.parametrize(
    ("words", "variables", "code", "why"),
    [
        (("chat", "--persona", "nobody", "Hello?"), FAST, 1, "nobody"),
        (("chat", "--colour"), FAST, 2, "No such option"),
    ],
)
async def test_exit_codes_on_a_terminal(
    folder: Path, words: tuple[str, ...], variables: Mapping[str, str], code: int, why: str
) -> None:
    """1 failed or refused by the engine, 2 usage; why stands on stderr."""
    async with open_terminal(folder, *words, **variables) as terminal:
        assert await terminal.ended() == code
        assert why in terminal.errors
