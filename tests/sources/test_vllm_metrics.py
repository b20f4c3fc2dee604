"""vLLM's metrics of several versions, under Ray Serve and with several workers, under stable names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import Reason, SourceError
from exporter.sources.vllm.mappings import MAPPINGS
from exporter.sources.vllm.page import samples, snapshot
from tests.sources.vllm_pages import ADDED, BOTH, CURRENT, OLD, PIDS, RAY, WORKERS
from tests.support.pages import series

WHO = 'server="s",model="m",engine="0",replica=""'


def replica(name: str) -> str:
    return WHO.replace('replica=""', f'replica="{name}"')


def page_of(text: str) -> dict[str, float]:
    return series(samples(snapshot(text, "s")))


def test_a_current_page() -> None:
    page = page_of(CURRENT)

    assert page[f"vllm_requests_running{{{WHO}}}"] == 24
    assert page[f"vllm_kv_cache_usage_ratio{{{WHO}}}"] == 0.25
    assert page[f"vllm_prompt_tokens_total{{{WHO}}}"] == 1806
    assert page[f'vllm_requests_finished_total{{{WHO},finished_reason="stop"}}'] == 27
    assert page[f'vllm_admission_rejections_total{{{WHO},reason="max_num_queued_reqs"}}'] == 2
    assert page[f'vllm_iteration_tokens_bucket{{{WHO},le="1.0"}}'] == 3
    assert page[f"vllm_iteration_tokens_count{{{WHO}}}"] == 5
    assert page[f"vllm_inter_token_latency_seconds_sum{{{WHO}}}"] == 0.5
    assert page['vllm_http_requests_total{server="s",handler="/v1/chat/completions",method="POST",status="2xx"}'] == 50
    assert page['vllm_metric_missing{server="s",metric="requests_running"}'] == 0
    assert page['vllm_metric_missing{server="s",metric="preemptions"}'] == 1
    assert not any("created" in name for name in page)


def test_old_and_new_names_of_a_metric_are_not_summed() -> None:
    page = page_of(BOTH)

    assert page[f"vllm_kv_cache_usage_ratio{{{WHO}}}"] == 0.4
    assert page[f"vllm_prefix_cache_hits_total{{{WHO}}}"] == 7


def test_an_old_page() -> None:
    page = page_of(OLD)

    assert page[f"vllm_kv_cache_usage_ratio{{{WHO}}}"] == 0.3
    assert page[f"vllm_requests_swapped{{{WHO}}}"] == 1
    assert page[f"vllm_inter_token_latency_seconds_count{{{WHO}}}"] == 4


def test_replicas_of_ray_serve_are_separate_series() -> None:
    """A replica that ends takes its series along: the sum of the others would look like a reset."""
    page = page_of(RAY)

    assert [page[f"vllm_requests_running{{{replica(name)}}}"] for name in "ab"] == [2, 3]
    assert [page[f"vllm_kv_cache_usage_ratio{{{replica(name)}}}"] for name in "ab"] == [0.2, 0.9]
    assert [page[f"vllm_generation_tokens_total{{{replica(name)}}}"] for name in "ab"] == [10, 20]
    assert [page[f"vllm_engine_healthy{{{replica(name)}}}"] for name in "ab"] == [1, 0]
    # Ray leaves out counters that never rose.
    assert [page[f"vllm_preemptions_total{{{replica(name)}}}"] for name in "ab"] == [0, 4]
    assert [page[f"vllm_prompt_tokens_total{{{replica(name)}}}"] for name in "ab"] == [0, 0]


def test_series_with_the_same_labels_are_merged_as_their_metric_requires() -> None:
    page = page_of(WORKERS)

    assert page[f"vllm_requests_waiting{{{WHO}}}"] == 5
    assert page[f'vllm_requests_waiting_by_reason{{{WHO},reason="capacity"}}'] == 5
    assert page[f"vllm_engine_healthy{{{WHO}}}"] == 0
    assert page[f"vllm_kv_cache_usage_ratio{{{WHO}}}"] == 0.9
    assert page[f"vllm_estimated_flops_per_gpu_total{{{WHO}}}"] == 8
    assert page[f"vllm_request_queue_time_seconds_sum{{{WHO}}}"] == 11.5
    buckets = {name.rpartition('le="')[2]: value for name, value in page.items() if "queue_time_seconds_bucket" in name}
    assert buckets == {'1.0"}': 5, '+Inf"}': 7}  # only the bounds that both have


def test_metrics_of_recent_versions() -> None:
    page = page_of(ADDED)

    assert page[f"vllm_estimated_read_bytes_per_gpu_total{{{WHO}}}"] == 11
    assert page[f"vllm_estimated_write_bytes_per_gpu_total{{{WHO}}}"] == 12
    assert page[f'vllm_prompt_tokens_cached_by_source_total{{{WHO},origin="device"}}'] == 13
    for name in (
        "request_prefill_kv_computed_tokens",
        "request_max_generation_tokens",
        "request_params_n",
        "request_params_max_tokens",
    ):
        assert (page[f"vllm_{name}_sum{{{WHO}}}"], page[f"vllm_{name}_count{{{WHO}}}"]) == (3, 2)
        assert page[f'vllm_metric_missing{{server="s",metric="{name}"}}'] == 0
    lora = WHO.replace('model="m"', 'model=""')
    assert page[f'vllm_lora_adapters{{{lora},state="running"}}'] == 2  # of the latest series
    assert page[f'vllm_lora_adapters{{{lora},state="waiting"}}'] == 0
    assert page[f"vllm_max_lora_adapters{{{lora}}}"] == 4
    assert page_of(CURRENT)['vllm_metric_missing{server="s",metric="lora_adapters"}'] == 1


def test_a_repeated_series_counts_once_as_in_prometheus() -> None:
    text = CURRENT + 'vllm:num_requests_running{model_name="m",engine="0"} 5.0\n'

    assert page_of(text)[f"vllm_requests_running{{{WHO}}}"] == 24


@pytest.mark.parametrize("values", [("NaN", "0.5"), ("0.5", "NaN")])
def test_the_largest_of_a_number_and_nan_is_the_number(values: tuple[str, str]) -> None:
    lines = [f'vllm:kv_cache_usage_perc{{model_name="m",node="{value}"}} {value}' for value in values]

    assert page_of("\n".join([*lines, ""]))[f"vllm_kv_cache_usage_ratio{{{WHO}}}"] == 0.5


def test_a_histogram_without_a_sum_has_buckets_only() -> None:
    lines = [line for line in CURRENT.splitlines() if "iteration_tokens_total_sum" not in line]
    page = page_of("\n".join([*lines, ""]))

    assert page[f'vllm_iteration_tokens_bucket{{{WHO},le="+Inf"}}'] == 5
    assert f"vllm_iteration_tokens_sum{{{WHO}}}" not in page
    assert f"vllm_iteration_tokens_count{{{WHO}}}" not in page


def test_a_gauge_repeated_per_pid_is_taken_once() -> None:
    assert page_of(PIDS)[f"vllm_requests_running{{{WHO}}}"] == 6


@pytest.mark.parametrize("text", ["", "# nothing\n", "up 1\n", "<html>not found</html>", "vllm:x{", 'vllm:x{a="b} 1'])
def test_a_page_of_another_server_is_malformed(text: str) -> None:
    with pytest.raises(SourceError) as caught:
        page_of(text)

    assert caught.value.reason is Reason.MALFORMED


@given(st.text())
def test_any_text_is_a_page_or_malformed(text: str) -> None:
    for page in (text, f"vllm:num_requests_running{text} 1\n", f"vllm:{text} NaN\n"):
        try:
            list(samples(snapshot(page, "s")))
        except SourceError as error:
            assert error.reason is Reason.MALFORMED  # noqa: PT017 - either outcome is right, no other is


def test_mappings_have_distinct_names() -> None:
    names = [name for mapping in MAPPINGS for name in mapping.names]

    assert len(names) == len(set(names))
