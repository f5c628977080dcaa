"""What the control socket can be asked: status, ledger, ports, keys, settings and commands of nodes."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec

from gateway import ledger as loss_ledger
from gateway.control import MAX_TIMEOUT_S, ControlServer
from gateway.errors import GatewayError
from wire import messages
from wire import settings as wire_settings
from wire.names import COMMANDS, RESULTS
from wire.profiles import decode_profile
from wire.settings_radio import ROWS as RADIO_ROWS

if TYPE_CHECKING:
    from gateway.app import Gateway

log = logging.getLogger("verbs")

RELEASE_S = 10.0
LEND_S = 900.0  # a lent port is taken back by itself after this
LEND_MAX_S = 86_400.0
ARG_RANGE = (-(1 << 31), (1 << 31) - 1)  # of a command's argument on the wire
PATH_MAX = 4_096
REQUEST_S = 30.0
DRAIN_S = 60.0
TAP_IDLE_S = 2.0
TAP_QUEUE = 1_024  # chunks a slow monitor may be behind; then it misses some
_RADIO = frozenset(row[0] for row in RADIO_ROWS)  # ids of settings that only boards with a radio have


class Verbs:
    """One method a verb; each takes the request as it came and answers with what JSON can carry."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._lent: dict[str, asyncio.Task[None]] = {}

    def close(self) -> None:
        """Ports that are lent stay closed; nobody waits for them any more."""
        for task in self._lent.values():
            task.cancel()

    def register(self, control: ControlServer) -> None:
        verbs = {
            "status": self.status,
            "ledger": self.ledger,
            "release": self.release,
            "resume": self.resume,
            "reload-keys": self.reload_keys,
            "set-setting": self.set_setting,
            "get-setting": self.get_setting,
            "calibrate": self.calibrate,
            "calibration": self.calibration,
            "profiles": self.profiles,
            "command": self.command,
            "drain": self.drain,
            "metrics": self.metrics,
        }
        for name, verb in verbs.items():
            control.register(name, verb)
        control.register("range-test", self.range_test)
        control.register_stream("tap", self.tap)
        control.register_stream("range-test-live", self.range_steps)

    async def status(self, _: dict[str, Any]) -> Any:
        return self._gateway.status() | {
            "gateway": self._gateway.config.gateway.id,
            "data_dir": str(self._gateway.config.gateway.data_dir),
        }

    async def ledger(self, request: dict[str, Any]) -> Any:
        node = None if request.get("node") is None else int(_number(request, "node", 0, 1, 65_535))
        report = await self._gateway.ledger(lines=bool(request.get("lines", True)), node=node)
        sink = request.get("sink")
        if sink is not None and sink not in report.sinks:
            known = ", ".join(report.sinks)
            raise GatewayError("no such sink", where=str(sink)[:60], next_step=f"There are: {known}", exit_code=2)
        return msgspec.to_builtins(report) | {"summary": loss_ledger.summary(report, sink)}

    async def metrics(self, _: dict[str, Any]) -> Any:
        from gateway.metrics import text

        return {"text": text(self._gateway.status).decode()}

    async def reload_keys(self, _: dict[str, Any]) -> Any:
        return {"added": await self._gateway.load_keys(), "lives": len(self._gateway.uplinks.sessions)}

    def _port(self, request: dict[str, Any]) -> Any:
        wanted = str(request.get("port", ""))[:PATH_MAX].replace("\0", "?")
        for link in self._gateway.ports:
            if link.name == wanted or os.path.realpath(link.name) == os.path.realpath(wanted):
                return link
        ports = ", ".join(link.name for link in self._gateway.ports) or "none"
        raise GatewayError("not a port of this gateway", where=wanted, next_step=f"It has: {ports}", exit_code=2)

    async def release(self, request: dict[str, Any]) -> Any:
        """Lend a port; it comes back at `resume`, or by itself after `for_s`."""
        link = self._port(request)
        for_s = _number(request, "for_s", LEND_S, 0, LEND_MAX_S)
        if not await link.release(RELEASE_S):
            raise GatewayError("the port did not close", where=link.name, next_step="Try again")
        self._take_back(link.name)
        self._lent[link.name] = asyncio.create_task(self._lend(link, for_s))
        return {"port": link.name, "for_s": for_s}

    async def _lend(self, link: Any, for_s: float) -> None:
        await asyncio.sleep(for_s)
        log.info("serial: %s, lent for %g s, taken back", link.name, for_s)
        link.resume()

    def _take_back(self, name: str) -> None:
        lent = self._lent.pop(name, None)
        if lent is not None:
            lent.cancel()

    async def resume(self, request: dict[str, Any]) -> Any:
        link = self._port(request)
        self._take_back(link.name)
        link.resume()
        return {"port": link.name}

    async def tap(self, request: dict[str, Any]) -> AsyncGenerator[Any, None]:
        """Raw bytes of a port as they pass, both ways; a slow reader misses some and is told how many."""
        link = self._port(request)
        chunks: asyncio.Queue[dict[str, Any]] = asyncio.Queue(TAP_QUEUE)
        missed = 0

        def tap(direction: str, data: bytes) -> None:
            nonlocal missed
            try:
                chunks.put_nowait({"dir": direction, "hex": data.hex()})
            except asyncio.QueueFull:
                missed += 1

        link.taps.append(tap)
        try:
            while True:
                try:
                    async with asyncio.timeout(TAP_IDLE_S):
                        chunk = await chunks.get()
                except TimeoutError:
                    chunk = {
                        "dir": "up",
                        "hex": "",
                    }  # the listener learns that it is silent, and we whether it is there
                if missed:
                    chunk["missed"], missed = missed, 0
                yield chunk
        finally:
            link.taps.remove(tap)

    def _session(self, request: dict[str, Any]) -> Any:
        node = request.get("node")
        session = self._gateway.uplinks.session_of(node) if isinstance(node, int) else None
        if session is None:
            known = ", ".join(sorted({str(key[0]) for key in self._gateway.uplinks.sessions})) or "none"
            raise GatewayError(
                "no such node", where=f"node {node}"[:60], next_step=f"The key file has: {known}", exit_code=2
            )
        return session

    def _answered(self, request: dict[str, Any]) -> Any:
        """The session of a node that this gateway may speak to."""
        session, cell = self._session(request), self._gateway.cell
        if cell is not None and not cell.answers and session.memory.on_air:
            raise GatewayError(
                "this gateway only listens to LoRa nodes ([lora] answer = false)", where=f"node {session.info.node}",
                next_step="Ask the gateway that answers them", exit_code=2,
            )  # fmt: skip
        return session

    async def set_setting(self, request: dict[str, Any]) -> Any:
        session, (setting, instance) = self._answered(request), _setting(request)
        value = request.get("value")
        if not isinstance(value, int) or not wire_settings.permits(setting.id, instance, value):
            raise GatewayError(
                "value out of range",
                where=f"{setting.name}.{instance} = {value}",
                next_step=f"It takes {setting.low} to {setting.high} {setting.unit}",
                exit_code=2,
            )
        if setting.id in _RADIO and not session.memory.on_air:
            # A board without a radio has no row for it, and drops a message that no row permits; it answers a question.
            known = await session.get_setting(setting.id, instance, _timeout(request))
            if not known.ok:
                return {"name": setting.name, "instance": instance, "value": known.value, "ok": False}
        answer = await session.set_setting(setting.id, instance, value, _timeout(request))
        return {"name": setting.name, "instance": instance, "value": answer.value, "ok": bool(answer.ok)}

    async def get_setting(self, request: dict[str, Any]) -> Any:
        session, (setting, instance) = self._answered(request), _setting(request)
        answer = await session.get_setting(setting.id, instance, _timeout(request))
        return {"name": setting.name, "instance": instance, "value": answer.value, "ok": bool(answer.ok)}

    async def calibration(self, request: dict[str, Any]) -> Any:
        """Of the newest profile that this gateway knows of a node; null: it knows none."""
        rows = self._session(request).decoder.profiles.windows
        number = decode_profile(rows[max(rows)].descriptor).calibration if rows else None
        return {"node": request["node"], "number": number if number is None else f"{number:08x}"}

    async def profiles(self, _: dict[str, Any]) -> Any:
        """What each life's records are read with; a listener at the tap came too late to hear it from the nodes."""
        return {
            "lives": [
                {
                    "life": f"{life:08x}",
                    "node": node,
                    "profiles": [profile.encode().hex() for profile in session.decoder.profiles.open()],
                }
                for (node, life), session in self._gateway.uplinks.sessions.items()
            ]
        }

    async def calibrate(self, request: dict[str, Any]) -> Any:
        """Hand several settings of the calibration to a node, all or none; its set is kept by whoever asks."""
        session, asked = self._answered(request), request.get("settings")
        try:
            number = int(str(request.get("number")), 16)
            chosen = tuple([tuple(setting) for setting in asked])  # type: ignore[union-attr]
            messages.encode(messages.Calibrate(number, chosen))
        except (TypeError, ValueError):
            raise GatewayError(
                "no calibration that a node could take",
                where=f"node {request.get('node')}",
                next_step=f"At most {messages.SETTINGS_MAX} settings, each as [id, instance, value]",
                exit_code=2,
            ) from None
        answer = await session.calibrate(number, chosen, _timeout(request))
        return {"ok": bool(answer.ok), "passport": answer.value}

    async def command(self, request: dict[str, Any]) -> Any:
        session = self._answered(request)
        name = str(request.get("command", "")).replace("-", "_")
        if name not in COMMANDS:
            raise GatewayError(
                "no such command", where=name[:60], next_step=f"There are: {', '.join(COMMANDS)}", exit_code=2
            )
        timeout_s = _timeout(request)
        expiry_s = self._gateway.clock.wall_ms() // 1000 + int(timeout_s) + 1
        arg = int(_number(request, "arg", 0, *ARG_RANGE))
        answer = await session.command(COMMANDS.index(name) + 1, arg, expiry_s, timeout_s)
        return {"command": name, "result": RESULTS[answer.code], "value": answer.value}

    async def range_steps(self, request: dict[str, Any]) -> AsyncGenerator[Any, None]:
        """A range test of a node, as it goes: gateway.range_test."""
        from gateway.range_test import COUNT_MAX, RangeTest

        session, cell = self._answered(request), self._gateway.cell
        if cell is None:
            raise GatewayError(
                "this gateway has no LoRa ear", where=f"node {request['node']}",
                next_step="Enter one in gateway.toml: docs/lora-gateway.md", exit_code=2,
            )  # fmt: skip
        count = int(_number(request, "count", 20, 1, COUNT_MAX))
        sfs = request.get("sfs") or []
        if not isinstance(sfs, list) or any(type(sf) is not int or not 7 <= sf <= 12 for sf in sfs):
            raise GatewayError("sfs is a list of 7 to 12", where=repr(sfs)[:60], next_step="Correct it", exit_code=2)
        power = None if request.get("power_dbm") is None else int(_number(request, "power_dbm", 0, -9, 22))
        timeout_s = _timeout(request)
        expiry_s = self._gateway.clock.wall_ms() // 1000 + int(timeout_s) + 1
        test = RangeTest(session, cell, count, tuple(sorted(set(sfs))), power)
        async with aclosing(test.steps(expiry_s, timeout_s)) as steps:
            async for step in steps:
                yield step

    async def range_test(self, request: dict[str, Any]) -> Any:
        """The same at once: its result."""
        async with aclosing(self.range_steps(request)) as steps:
            return [step async for step in steps][-1]["result"]

    async def drain(self, request: dict[str, Any]) -> Any:
        return {"drained": await self._gateway.drained(_number(request, "timeout_s", DRAIN_S, 0, MAX_TIMEOUT_S))}


def _number(request: dict[str, Any], name: str, default: float, low: float, high: float) -> float:
    """A field that is a number within its range, whatever the client sent; GatewayError says what it takes."""
    value = request.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise GatewayError(
            f"{name} must be a number from {low:g} to {high:g}",
            where=repr(value)[:60],
            next_step="Correct it",
            exit_code=2,
        )
    return value


def _timeout(request: dict[str, Any]) -> float:
    return max(_number(request, "timeout_s", REQUEST_S, 0, MAX_TIMEOUT_S), 0.1)


def _setting(request: dict[str, Any]) -> tuple[Any, int]:
    name, _, instance = str(request.get("name", "")).partition(".")
    try:
        setting = wire_settings.by_name(name)
    except KeyError:
        known = ", ".join(row.name for row in wire_settings.SETTINGS)
        raise GatewayError("no such setting", where=name[:60], next_step=f"There are: {known}", exit_code=2) from None
    number = _number(request, "instance", 0, 0, 255)
    if instance:
        number = int(instance) if instance.isascii() and instance.isdecimal() and len(instance) < 4 else -1
    if number not in range(setting.instances):
        raise GatewayError(
            "no such instance",
            where=f"{name}.{instance or number}"[:60],
            next_step=f"It has 0 to {setting.instances - 1}" if setting.instances > 1 else f"Write {name} alone",
            exit_code=2,
        )
    return setting, int(number)
