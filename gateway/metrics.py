"""The status as Prometheus text, on a loopback port if the configuration wants one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

log = logging.getLogger("metrics")

REQUEST_S = 5.0  # a scrape that takes longer to ask is no scrape
REQUEST_MAX = 8_192


class _Collector:
    def __init__(self, status: Callable[[], dict[str, Any]]) -> None:
        self._status = status

    def collect(self) -> Iterable[Metric]:
        report = self._status()
        yield from _spool(report["spool"])
        yield from _sinks(report["sinks"])
        yield from _links(report["links"])
        yield from _nodes(report["nodes"])
        if "lora" in report:
            yield from _lora(report["lora"])
        dropped = CounterMetricFamily("steiger_frames_dropped", "Frames not accepted, by reason", labels=["reason"])
        for reason, n in report["dropped_frames"].items():
            dropped.add_metric([reason], n)
        yield dropped
        yield CounterMetricFamily("steiger_frames_accepted", "Frames accepted", value=report["accepted_frames"])
        yield GaugeMetricFamily("steiger_problems", "Problems that a person should see", value=len(report["problems"]))


def _spool(spool: dict[str, Any]) -> Iterable[Metric]:
    yield GaugeMetricFamily("steiger_spool_used_bytes", "Pages in use", value=spool["used_mb"] * 1e6)
    yield GaugeMetricFamily("steiger_spool_writable", "1: commits succeed", value=spool["failing"] is None)
    yield GaugeMetricFamily(
        "steiger_spool_written_mb_per_day", "What wears the card out", value=spool["written_mb_per_day"]
    )
    yield CounterMetricFamily("steiger_records_stored", "Records synced to disk", value=spool["records_stored"])
    yield CounterMetricFamily("steiger_commits", "Transactions synced to disk", value=spool["commits"])
    yield CounterMetricFamily("steiger_duplicates", "Records that came again", value=spool["duplicates_refused"])


def _sinks(sinks: list[dict[str, Any]]) -> Iterable[Metric]:
    age = GaugeMetricFamily("steiger_sink_confirmed_age_seconds", "Since the last confirmed delivery", labels=["sink"])
    backlog = GaugeMetricFamily("steiger_sink_backlog", "Records that wait", labels=["sink"])
    confirmed = CounterMetricFamily("steiger_sink_confirmed_records", "Records confirmed", labels=["sink"])
    for sink in sinks:
        if sink["confirmed_age_s"] is not None:
            age.add_metric([sink["name"]], sink["confirmed_age_s"])
        backlog.add_metric([sink["name"]], sink["backlog"])
        confirmed.add_metric([sink["name"]], sink["confirmed_records"])
    return (age, backlog, confirmed)


def _links(links: list[dict[str, Any]]) -> Iterable[Metric]:
    up = GaugeMetricFamily("steiger_port_open", "1: open", labels=["port"])
    bad = CounterMetricFamily("steiger_port_bad", "Input dropped below the frame", labels=["port", "reason"])
    resets = CounterMetricFamily("steiger_port_resets_by_our_open", "Boards that our open reset", labels=["port"])
    for link in links:
        up.add_metric([link["port"]], link["state"] == "open")
        resets.add_metric([link["port"]], link["resets_by_our_open"])
        for reason, n in link["bad"].items():
            bad.add_metric([link["port"], reason], n)
    return (up, bad, resets)


def _lora(lora: dict[str, Any]) -> Iterable[Metric]:
    hears = GaugeMetricFamily("steiger_ear_open", "1: hears", labels=["ear"])
    frames = CounterMetricFamily("steiger_ear_frames", "Frames heard, copies included", labels=["ear"])
    downlinks = CounterMetricFamily(
        "steiger_ear_downlinks", "Answers ordered, by what became of them", labels=["ear", "result"]
    )
    airtime = CounterMetricFamily(
        "steiger_ear_airtime_seconds", "Airtime of answers by sub-band", labels=["ear", "band"]
    )
    wait = GaugeMetricFamily("steiger_ear_duty_wait_seconds", "Until the law allows an answer", labels=["ear"])
    dropped = CounterMetricFamily(
        "steiger_ear_dropped", "What an ear said and was not taken, by reason", labels=["ear", "reason"]
    )
    datagrams = CounterMetricFamily(
        "steiger_forwarder_datagrams_dropped", "Malformed or of strangers, by reason", labels=["listen", "reason"]
    )
    told = set()
    for ear in lora["ears"]:
        name = ear["name"]
        for reason, n in ear.get("dropped", {}).items():
            dropped.add_metric([name, reason], n)
        listen = ear.get("listen")
        if listen not in told:  # several ears have one socket
            told.add(listen)
            for reason, n in ear.get("datagrams_dropped", {}).items():
                datagrams.add_metric([listen, reason], n)
        hears.add_metric([name], ear["state"] == "open")
        frames.add_metric([name], ear["frames"])
        wait.add_metric([name], ear["duty_wait_s"])
        for result, n in ear["downlinks"].items():
            downlinks.add_metric([name, result], n)
        for band, seconds in ear["airtime_s"].items():
            airtime.add_metric([name, band], seconds)
    unsent = CounterMetricFamily("steiger_lora_answers_unsent", "Answers that no ear could send", labels=["reason"])
    for reason, n in lora["answers_unsent"].items():
        unsent.add_metric([reason], n)
    copies = CounterMetricFamily("steiger_lora_copies", "Copies of an uplink by further ears", labels=["kept"])
    copies.add_metric(["merged"], lora["copies_merged"])
    copies.add_metric(["late"], lora["copies_late"])
    uplinks = CounterMetricFamily("steiger_lora_uplinks", "Frames heard, each once", value=lora["uplinks"])
    rates = CounterMetricFamily("steiger_lora_rates_commanded", "Rates commanded", value=lora["rates"]["commands"])
    missing = GaugeMetricFamily(
        "steiger_lora_nodes_missing", "Nodes silent for longer than expected", value=len(lora["rendezvous"]["missing"])
    )
    return (hears, frames, dropped, datagrams, downlinks, airtime, wait, unsent, copies, uplinks, rates, missing)


def _nodes(nodes: list[dict[str, Any]]) -> Iterable[Metric]:
    age = GaugeMetricFamily("steiger_node_age_seconds", "Since the last uplink", labels=["node", "life"])
    missing = GaugeMetricFamily("steiger_node_missing_seqs", "Seqs known and not yet received", labels=["node", "life"])
    taken = CounterMetricFamily(
        "steiger_node_taken_by_another_gateway", "Seqs that only another gateway received", labels=["node", "life"]
    )
    for node in nodes:
        labels = [str(node["node"]), node["life"]]
        if node["on_air"]:
            taken.add_metric(labels, node["taken_by_another_gateway"])
        if node["age_s"] is not None:
            age.add_metric(labels, node["age_s"])
        missing.add_metric(labels, node["missing_seqs"])
    return (age, missing, taken)


def text(status: Callable[[], dict[str, Any]]) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Collector(status))
    return generate_latest(registry)


async def serve(listen: str, status: Callable[[], dict[str, Any]]) -> asyncio.Server:
    """Answer GET on `address:port` with the metrics."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_S):
                await reader.readuntil(b"\r\n\r\n")
                body = text(status)
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                    b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
                )
                writer.write(body)
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as err:
            log.debug("metrics: scrape failed, %s", err)
        finally:
            writer.close()

    host, _, port = listen.rpartition(":")
    return await asyncio.start_server(answer, host.strip("[]"), int(port), limit=REQUEST_MAX)
