from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from llink_ray.errors import JobFailed
from llink_ray.evaluation.report import escape, write_report


def html(text: str) -> str:
    return str(MarkdownIt("commonmark").enable("table").render(text))


def test_all_tables_plots_and_files(
    tmp_path: Path, metrics: dict[str, Any], records: list[dict[str, Any]]
) -> None:
    (tmp_path / "settings.yaml").touch()
    (tmp_path / "metrics.json").touch()
    path = write_report(tmp_path, metrics, records)
    assert path == tmp_path / "report.md"
    page = html(path.read_text("utf-8"))
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    assert titles == ["Run", "Corpus", "Retrieval", "Answers on held-out text", "Slot gain",
                      "Decoder prompt tokens", "Plots", "Files"]  # fmt: skip
    for cell in (
        "some/encoder @ b7f947194",
        "0123abc",
        "9f8e7d",
        "· wrong script",
        "3, 9, 10322",
        "Stage A+B",
    ):
        assert re.search(rf"<td[^>]*>{re.escape(cell)}</td>", page), cell
    assert "chrF 71.3 (nrefs:1|case:mixed|version:2.6.0)" in page
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(links) == 5
    assert all((tmp_path / link).is_file() for link in links)
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize(
    "text",
    ["a|b", "<script>alert(1)</script>", "*x* _y_ __z__ `c` [l](u) ![i](u)", "a\\|b", "&lt; &copy;", "# head",
     "~~gone~~", "some/model_with_names_v2", "trailing_ _leading", "https://a.b/c_d", "<a@b.c>"],
)  # fmt: skip
def test_text_from_outside_is_shown_as_it_is(tmp_path: Path, metrics: dict[str, Any], text: str) -> None:
    metrics["language"] = text
    metrics["corpus"]["reasons"] = {}
    metrics["retrieval"][text] = metrics["retrieval"]["base"]
    page = html(write_report(tmp_path, metrics, []).read_text("utf-8"))
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert f"<h1>{plain}, preset tiny</h1>" in page
    spoken = " ".join(plain.replace("_", " ").split())  # keys are shown as words
    assert f">{spoken}</td>" in page
    rows = re.findall(r"<tr>(.*?)</tr>", page.split("<h2>Retrieval</h2>")[1].split("</table>")[0], re.S)
    assert [len(re.findall(r"<t[hd]", row)) for row in rows] == [6] * 5


def test_line_breaks_do_not_break_the_table() -> None:
    assert escape("a\n\n| b\r\nc") == r"a \| b c"


def test_model_names_stay_readable() -> None:
    assert escape("org/my_model_v2") == "org/my_model_v2"


def test_a_run_without_figures_still_has_a_report(tmp_path: Path) -> None:
    text = write_report(tmp_path / "new", {}, []).read_text("utf-8")
    assert text.startswith("# –, preset –")
    assert "##" not in text
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["report.md"]


def test_writing_again_replaces_it(tmp_path: Path, metrics: dict[str, Any]) -> None:
    write_report(tmp_path, metrics, [])
    metrics["seed"] = 4242
    assert "4242" in write_report(tmp_path, metrics, []).read_text("utf-8")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, metrics: dict[str, Any]) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(JobFailed, match="taken"):
        write_report(tmp_path / "taken", metrics, [])
