"""Chat formats in the shapes that well-known families have, written for these tests."""

from __future__ import annotations

ALTERNATE = (
    "{%- if (message.role == 'user') != (loop.index0 % 2 == 0) or message.role == 'system' -%}"
    "{{ raise_exception('user and assistant take turns') }}{%- endif -%}"
)
ASK = "{%- if add_generation_prompt -%}"

LLAMA_2 = (
    "{%- if messages[0].role == 'system' -%}{%- set rest = messages[1:] -%}"
    "{%- set told = messages[0].content -%}{%- else -%}{%- set rest = messages -%}{%- set told = false -%}"
    "{%- endif -%}{%- for message in rest -%}" + ALTERNATE + "{%- if loop.first and told -%}"
    "{%- set content = '<<SYS>>\\n' + told + '\\n<</SYS>>\\n\\n' + message.content -%}"
    "{%- else -%}{%- set content = message.content -%}{%- endif -%}"
    "{%- if message.role == 'user' -%}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{%- elif message.role == 'assistant' -%}{{ ' ' + content.strip() + ' ' + eos_token }}{%- endif -%}"
    "{%- endfor -%}"
)
LLAMA_3 = (
    "{{- bos_token -}}{%- if messages[0].role == 'system' -%}{%- set told = messages[0].content | trim -%}"
    "{%- set messages = messages[1:] -%}{%- else -%}{%- set told = '' -%}{%- endif -%}"
    "<|head|>system<|/head|>\n\nToday Date: {{ date_string }}\n\n{{ told }}<|over|>"
    "{%- for message in messages -%}<|head|>{{ message.role }}<|/head|>\n\n{{ message.content | trim }}"
    "<|over|>{%- endfor -%}" + ASK + "<|head|>assistant<|/head|>\n\n{%- endif -%}"
)
MISTRAL = (
    "{{- bos_token -}}{%- if messages[0].role == 'system' -%}{%- set told = messages[0].content -%}"
    "{%- set rest = messages[1:] -%}{%- else -%}{%- set rest = messages -%}{%- endif -%}"
    "{%- for message in rest -%}" + ALTERNATE + "{%- if message.role == 'user' -%}[INST]"
    "{%- if loop.last and told is defined -%}{{ ' ' + told + '\\n\\n' }}{%- else -%}{{ ' ' }}{%- endif -%}"
    "{{ message.content + '[/INST]' }}"
    "{%- elif message.role == 'assistant' -%}{{ ' ' + message.content + eos_token }}"
    "{%- else -%}{{ raise_exception('only user and assistant') }}{%- endif -%}"
    "{%- endfor -%}"
)
GEMMA = (
    "{{- bos_token -}}{%- if messages[0].role == 'system' -%}{{ raise_exception('no system role') }}"
    "{%- endif -%}{%- for message in messages -%}" + ALTERNATE + "<|turn|>"
    "{{ 'model' if message.role == 'assistant' else message.role }}\n{{ message.content | trim }}<|over|>\n"
    "{%- endfor -%}" + ASK + "<|turn|>model\n{%- endif -%}"
)
GEMMA_3 = (
    "{{- bos_token -}}{%- set ns = namespace(told='') -%}{%- if messages[0].role == 'system' -%}"
    "{%- set ns.told = messages[0].content + '\n\n' -%}{%- set rest = messages[1:] -%}"
    "{%- else -%}{%- set rest = messages -%}{%- endif -%}"
    "{%- for message in rest -%}" + ALTERNATE + "<|turn|>"
    "{{ 'model' if message.role == 'assistant' else message.role }}\n{{ ns.told if loop.first else '' }}"
    "{{ message.content | trim }}<|over|>\n{%- endfor -%}" + ASK + "<|turn|>model\n{%- endif -%}"
)
QWEN_2 = (
    "{%- if messages[0].role == 'system' -%}<|turn|>system\n{{ messages[0].content }}<|over|>\n"
    "{%- else -%}<|turn|>system\nYou help.<|over|>\n{%- endif -%}"
    "{%- for message in messages -%}"
    "{%- if message.role in ['user', 'assistant'] or (message.role == 'system' and not loop.first) -%}"
    "<|turn|>{{ message.role }}\n{{ message.content }}<|over|>\n{%- endif -%}{%- endfor -%}"
    + ASK
    + "<|turn|>assistant\n{%- endif -%}"
)
QWEN_3 = (
    "{%- for message in messages -%}{%- set content = message.content -%}"
    "{%- if message.role == 'assistant' and '</think>' in content -%}"
    "{%- set content = content.split('</think>')[-1].lstrip('\n') -%}{%- endif -%}"
    "{%- if message.role in ['user', 'system', 'assistant'] -%}"
    "<|turn|>{{ message.role }}\n{{ content }}<|over|>\n{%- endif -%}{%- endfor -%}"
    + ASK
    + "<|turn|>assistant\n<think>\n\n</think>\n\n{%- endif -%}"
)
PHI_3 = (
    "{%- for message in messages -%}"
    "{%- if message.role == 'system' and message.content -%}<|system|>\n{{ message.content }}<|over|>\n"
    "{%- elif message.role == 'user' -%}<|user|>\n{{ message.content }}<|over|>\n"
    "{%- elif message.role == 'assistant' -%}<|assistant|>\n{{ message.content }}<|over|>\n{%- endif -%}"
    "{%- endfor -%}" + ASK + "<|assistant|>\n{%- else -%}{{ eos_token }}{%- endif -%}"
)
SMOLLM = (
    "{%- for message in messages -%}{%- if loop.first and messages[0].role != 'system' -%}"
    "<|turn|>system\nYou help.<|over|>\n{%- endif -%}"
    "<|turn|>{{ message.role }}\n{{ message.content }}<|over|>\n{%- endfor -%}"
    + ASK
    + "<|turn|>assistant\n{%- endif -%}"
)
DEEPSEEK = (
    "{%- set ns = namespace(told='', first=true) -%}{%- for message in messages -%}"
    "{%- if message.role == 'system' -%}{%- if ns.first -%}{%- set ns.told = message.content -%}"
    "{%- set ns.first = false -%}{%- else -%}{%- set ns.told = ns.told + '\n\n' + message.content -%}"
    "{%- endif -%}{%- endif -%}{%- endfor -%}{{ bos_token }}{{ ns.told }}{%- for message in messages -%}"
    "{%- if message.role == 'user' -%}<|user|>{{ message.content }}"
    "{%- elif message.role == 'assistant' -%}<|assistant|>{{ message.content.split('</think>')[-1] }}"
    "{{ eos_token }}{%- endif -%}{%- endfor -%}" + ASK + "<|assistant|>{%- endif -%}"
)
HARMONY = (
    "<|turn|>system<|message|>Current date: {{ strftime_now('%Y-%m-%d') }}\n# Channels<|over|>"
    "{%- if messages[0].role in ['developer', 'system'] -%}"
    "<|turn|>developer<|message|># Instructions\n\n{{ messages[0].content }}\n\n<|over|>"
    "{%- set rest = messages[1:] -%}{%- else -%}{%- set rest = messages -%}{%- endif -%}"
    "{%- for message in rest -%}{%- if message.role == 'assistant' -%}"
    "<|turn|>assistant<|channel|>final<|message|>{{ message.content }}<|over|>"
    "{%- elif message.role == 'user' -%}<|turn|>user<|message|>{{ message.content }}<|over|>{%- endif -%}"
    "{%- endfor -%}" + ASK + "<|turn|>assistant{%- endif -%}"
)

PARTS = (
    "{%- for message in messages -%}<|turn|>{{ message.role }}\n{%- for part in message.content -%}"
    "{%- if part.type == 'image' -%}<image>{%- elif part.type == 'text' -%}{{ part.text }}{%- endif -%}"
    "{%- endfor -%}<|over|>\n{%- endfor -%}" + ASK + "<|turn|>assistant\n{%- endif -%}"
)
FORMATS: dict[str, str | None] = {
    "llama 2": LLAMA_2, "llama 3": LLAMA_3, "mistral": MISTRAL, "gemma": GEMMA, "gemma 3": GEMMA_3,
    "qwen 2": QWEN_2, "qwen 3": QWEN_3, "phi 3": PHI_3, "smollm": SMOLLM, "deepseek": DEEPSEEK,
    "harmony": HARMONY, "parts": PARTS, "none": None,
}  # fmt: skip
SPECIALS = (
    "<|head|>", "<|/head|>", "<|over|>", "<|turn|>", "<|message|>", "<|channel|>", "<|user|>",
    "<|assistant|>", "<|system|>",
)  # fmt: skip

ORDERS = ("u", "su", "du", "suau", "usu", "uu")
"""First letters of roles."""
TAKES_TURNS = {"usu", "uu"}
REFUSED = {
    "llama 2": TAKES_TURNS, "mistral": TAKES_TURNS, "gemma": TAKES_TURNS | {"su", "du", "suau"},
    "gemma 3": TAKES_TURNS, "harmony": {"usu"},
}  # fmt: skip
"""What a format cannot say."""
