"""lm-eval's model for transformers, which counts the items that do not fit into its window."""

from __future__ import annotations

import sys
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import normalize_gen_kwargs

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance


class WindowedLM(HFLM):
    """HFLM that generates at most half a window, and counts the items whose prompt it had to cut.

    lm-eval cuts long prompts on the left with a warning, and refuses a task that asks for as many tokens as
    the window holds (MMLU-Pro: 2,048, IFEval: 1,280). Models of the paper's size meet that.

    Attributes:
        cut: task name -> ids of the items that lost the start of their prompt.
        shortened: task name -> (tokens of an answer that the task asks for, tokens given).
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.cut: dict[str, set[int]] = defaultdict(set)
        self.shortened: dict[str, tuple[int, int]] = {}

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Shorten answers that do not fit, count the prompts that are cut, and generate."""
        for request in requests:
            prompt, asked = request.args
            tokens = normalize_gen_kwargs(asked, self.max_gen_toks)["max_gen_toks"]
            given = min(tokens, self.max_length // 2)
            if given < tokens:
                self.shortened[request.task_name] = (tokens, given)
                request.arguments = (prompt, {**asked, "max_gen_toks": given})
            if len(self.tok_encode(prompt)) > self.max_length - given:
                self.cut[request.task_name].add(request.doc_id)
        return super().generate_until(requests, disable_tqdm=disable_tqdm or not sys.stderr.isatty())

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Count the prompts that are cut, and score. The window holds all but the last token of a choice."""
        for request in requests:
            prompt, choice = request.args
            if sum(map(len, self._encode_pair(prompt, choice))) > self.max_length + 1:
                self.cut[request.task_name].add(request.doc_id)
        return super().loglikelihood(requests, disable_tqdm=disable_tqdm or not sys.stderr.isatty())
