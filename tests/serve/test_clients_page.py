"""Every snippet of docs/clients.md, run as it stands against a running service.

Libraries that are no dependency of the project are looked for in the Python that LLINK_CLIENTS names.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from listening import listening
from serve_zoo import BO, Running

from serve.api import create_app

PAGE = (Path(__file__).parents[2] / "docs" / "clients.md").read_text("utf-8")
ADDRESS = "http://127.0.0.1:8000"
PYTHON = os.environ.get("LLINK_CLIENTS", sys.executable)
NEEDED = {
    "litellm": ["litellm"],
    "LangChain": ["langchain_openai"],
    "LlamaIndex": ["llama_index.llms.openai_like", "llama_index.embeddings.openai_like"],
}
"""Modules of the pages' sections that are one block of Python."""
TASK = """
from datasets import Dataset
from mteb.abstasks import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata

class Counting(AbsTaskRetrieval):
    metadata = TaskMetadata(
        name="Counting", description="-", dataset={"path": "none", "revision": "1"}, type="Retrieval",
        category="t2t", modalities=["text"], eval_splits=["test"], eval_langs=["bod-Tibt"],
        main_score="ndcg_at_10", date=("2020-01-01", "2020-01-02"), domains=[], task_subtypes=[],
        annotations_creators=None, dialect=[], sample_creation=None, bibtex_citation="",
        reference=None, license=None,
    )

    def load_data(self, **_):
        asked, there = FOREIGN, ["There are 560 potatoes in the house.", "I have 30 oxen."]
        self.dataset = {"default": {"test": {
            "queries": Dataset.from_list([{"id": f"q{i}", "text": t} for i, t in enumerate(asked)]),
            "corpus": Dataset.from_list(
                [{"id": f"c{i}", "title": "", "text": t} for i, t in enumerate(there)]
            ),
            "relevant_docs": {"q0": {"c0": 1}}, "top_ranked": None,
        }}}
        self.data_loaded = True

task = Counting()
"""


def blocks(section: str) -> list[str]:
    """The snippets below a heading, in order."""
    _, _, rest = PAGE.partition(f"\n## {section}\n")
    return re.findall(r"```\w+\n(.*?)```", rest.partition("\n## ")[0], re.DOTALL)


def require(*modules: str) -> None:
    """Skip where a library is not installed."""
    looks = "; ".join(f"import {module}" for module in modules)
    if subprocess.run([PYTHON, "-c", looks], capture_output=True, check=False).returncode:
        pytest.skip(f"{', '.join(modules)} not installed: name a Python that has it in LLINK_CLIENTS")


def ran(folder: Path, *command: str) -> str:
    """What a command says, in a folder of its own, without a network beyond this machine."""
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(folder / "cache"),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "PATH": f"{Path(PYTHON).parent}{os.pathsep}{os.environ['PATH']}",
    }
    output = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=240
    )
    assert output.returncode == 0, output.stderr[-2_000:]
    return output.stdout


def python(folder: Path, api: Running, code: str) -> str:
    script = folder / "snippet.py"
    script.write_text(code.replace(ADDRESS, api.url), "utf-8")
    return ran(folder, PYTHON, str(script))


def test_curl(tmp_path: Path, api: Running) -> None:
    (code,) = blocks("curl")
    output = ran(tmp_path, "bash", "-ec", code.replace(ADDRESS, api.url))
    whole, *_ = output.partition("data: ")
    assert json.loads(whole)["llink"]["adapter"] == "bo"
    assert '"chat.completion.chunk"' in output and "data: [DONE]" in output
    assert json.loads(output.partition("data: [DONE]")[2])["llink"]["unit_length"] is True


def test_openai(tmp_path: Path, api: Running) -> None:
    (code,) = blocks("openai")
    output = python(tmp_path, api, code)
    assert "'sentence'" in output and re.search(r"cosine -?0\.\d+", output)


@pytest.mark.parametrize("section", NEEDED)
def test_python_libraries(tmp_path: Path, api: Running, section: str) -> None:
    require(*NEEDED[section])
    (code,) = blocks(section)
    answer, *more = python(tmp_path, api, code).split("\n")
    assert answer and any(len(line) and line[-1].isdigit() for line in more)


@pytest.mark.parametrize("body", blocks("Open WebUI"))
def test_open_webui_s_shapes(api: Running, body: str) -> None:
    request_body = json.loads(body)
    output = httpx2.post(f"{api.url}/v1/chat/completions", json=request_body, timeout=60)
    assert output.status_code == 200, output.text
    events = output.text.strip().split("\n\n")
    assert (events[-1] == "data: [DONE]") == request_body["stream"]
    if request_body.get("stream_options"):
        assert json.loads(events[-2].removeprefix("data: "))["usage"]["total_tokens"] > 0
    cut = "max_completion_tokens" in request_body
    assert ("x-llink-max-tokens" in output.headers, "max_tokens_cut" in output.text) == (cut, cut)
    assert ("system_left_out" in output.text) == (request_body["messages"][0]["role"] == "system")


@pytest.mark.parametrize("model", ["local-chat-completions", "local-completions"])
def test_lm_evaluation_harness(tmp_path: Path, api: Running, model: str) -> None:
    require("lm_eval", "aiohttp")
    task, code = blocks("lm-evaluation-harness")
    (tmp_path / "counting.yaml").write_text(task, "utf-8")
    row = json.dumps({"text": BO, "answer": "560"}, ensure_ascii=False)
    (tmp_path / "counting.jsonl").write_text(row, "utf-8")
    (command,) = [
        one for one in re.split(r"^(?=lm_eval)", code, flags=re.MULTILINE) if f"--model {model}" in one
    ]
    output = ran(tmp_path, "bash", "-ec", command.replace(ADDRESS, api.url))
    assert re.search(r"\|counting\|.*exact_match", output)


def test_multiple_choice(tmp_path: Path, api: Running) -> None:
    require("lm_eval", "aiohttp")
    task, command = blocks("Multiple choice in lm-evaluation-harness")
    (tmp_path / "choosing.yaml").write_text(task, "utf-8")
    rows = [
        {"text": BO, "choices": ["560", "30", "7"], "answer": 0},
        {"text": BO, "choices": ["1", "2"], "answer": 1},
    ]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (tmp_path / "choosing.jsonl").write_text("\n".join(lines), "utf-8")
    package = Path(__file__).parents[2] / "llink_ray"
    output = ran(
        tmp_path, "bash", "-ec", command.replace(ADDRESS, api.url).replace("llink_ray/", f"{package}/")
    )
    assert re.search(r"\|choosing\|.*acc", output)


def test_mteb(tmp_path: Path, api: Running) -> None:
    require("mteb")
    model, evaluate = blocks("MTEB")
    task = TASK.replace("FOREIGN", json.dumps([BO]))
    assert 0 <= float(python(tmp_path, api, f"{model}\n{task}\n{evaluate}").split()[-1]) <= 1


@pytest.mark.slow
def test_java(tmp_path: Path, api: Running) -> None:
    if not shutil.which("java"):
        pytest.skip("no JDK")
    (code,) = blocks("Java")
    # As the service itself has it, the upgrade to HTTP/2 that the JDK offers is not taken: h11 does the same.
    with listening(create_app(api.service), http="h11") as url:
        (tmp_path / "Ask.java").write_text(code.replace(ADDRESS, url), "utf-8")
        assert ran(tmp_path, "java", "Ask.java").startswith("200 ")
