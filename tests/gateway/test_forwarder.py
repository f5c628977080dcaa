"""The UDP packet forwarder's other end: worked bytes, a client that others wrote, real sockets, and everything malformed."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import metrics
from gateway.config_lora import Forwarder
from gateway.health import status
from gateway.links import forwarder
from gateway.links.ear import Downlink, Heard
from gateway.links.forwarder import ForwarderEar, Listener, encode_order, make_ears
from tests.fakes.lora_air import AirNode, CellRig, FakeEar, InCell
from tests.fakes.rig import START_S
from tests.waiting import wait_until_async
from wire.frame import LORA, seal_uplink
from wire.regions import UPLINKS_HZ

EUI = "aa555a0000000101"
HERE = ("127.0.0.1", 40000)
FRAME = bytes(range(0xA0, 0xA0 + 13))
DOWN = Downlink(FRAME, 869_525_000, 9, 22, 0xFFFF_FFF0)


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s

    def wall_ms(self) -> int:
        return 1_790_000_000_000 + round(self.now_s * 1000)


class Rig:
    """A listener whose datagrams are kept instead of sent."""

    def __init__(self) -> None:
        self.time = Time()
        self.heard: list[Heard] = []
        self.sent: list[tuple[bytes, Any]] = []
        self.listener = Listener("127.0.0.1", 0, self.time)
        self.listener.trouble = ""
        self.listener.send = lambda data, to: self.sent.append((data, to)) is None  # type: ignore[method-assign]
        self.ear = ForwarderEar(self.listener, "roof", EUI, "127.0.0.1", 27, self.heard.append)

    def push(self, body: Any, token: int = 0xA1B2, source: Any = HERE, eui: str = EUI, tail: bytes = b"") -> None:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = bytes((2, token >> 8, token & 255, 0)) + bytes.fromhex(eui)
        self.listener.datagram_received(head + text + tail, source)


def rxpk(**changes: Any) -> dict[str, Any]:
    packet = {
        "tmst": 3_512_348_611, "chan": 2, "rfch": 0, "freq": 868.3, "stat": 1, "modu": "LORA", "datr": "SF9BW125",
        "codr": "4/5", "rssi": -35, "lsnr": 5.1, "size": 13, "data": base64.b64encode(FRAME).decode(),
    }  # fmt: skip
    packet.update(changes)
    return {name: value for name, value in packet.items() if value is not None}


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_the_worked_bytes(rig: Rig) -> None:
    datagram = bytes.fromhex("02A1B200AA555A0000000101") + json.dumps({"rxpk": [rxpk()]}).encode()
    rig.listener.datagram_received(datagram, HERE)
    assert rig.sent == [(bytes.fromhex("02A1B201"), HERE)]
    rig.listener.datagram_received(bytes.fromhex("02000702AA555A0000000101"), ("127.0.0.1", 40001))
    assert rig.sent[1:] == [(bytes.fromhex("02000704"), ("127.0.0.1", 40001))]
    (heard,) = rig.heard
    assert heard == Heard(
        "roof", FRAME, 868_300_000, 9, -35, 5.1, None, 3_512_348_611, rig.time.wall_ms(), True
    )  # fmt: skip
    assert rig.ear.state == "open"


def test_base64_comes_with_and_without_padding(rig: Rig) -> None:
    for size in range(1, 7):
        frame = bytes(range(size))
        padded = base64.b64encode(frame).decode()
        rig.push({"rxpk": [rxpk(data=padded, size=size), rxpk(data=padded.rstrip("="), size=None, tmst=size)]})
        assert [heard.frame for heard in rig.heard[-2:]] == [frame, frame]


def test_the_best_of_several_antennas_speaks(rig: Rig) -> None:
    antennas = [
        {"ant": 0, "rssic": -99, "lsnr": -7.5, "rssis": -107},
        {"ant": 1, "rssic": -90, "lsnr": -2.0, "rssis": -93},
    ]
    rig.push({"rxpk": [rxpk(rssi=None, lsnr=None, rsig=antennas, foff=-1234)]})
    assert (rig.heard[0].rssi_dbm, rig.heard[0].snr_db, rig.heard[0].freq_error_hz) == (-93, -2.0, -1234)


def test_what_is_none_of_ours_is_counted_and_takes_nothing_with_it(rig: Rig) -> None:
    strange = [
        rxpk(stat=-1), rxpk(stat=0), rxpk(modu="FSK", datr=50000), rxpk(datr="SF9BW500"), rxpk(datr="SF6BW125"),
        rxpk(data="!!!"), rxpk(data="A"), rxpk(size=12), rxpk(data="", size=0), rxpk(tmst=1 << 32), rxpk(tmst=-1),
        rxpk(tmst="soon"), rxpk(freq=None), {}, 7, None, [], rxpk(data=base64.b64encode(bytes(256)).decode(), size=256),
    ]  # fmt: skip
    rig.push({"rxpk": [*strange, rxpk()]}, tail=b"\0")
    assert len(rig.heard) == 1
    assert rig.ear.dropped == {"crc": 2, "modulation": 3, "malformed": 13}
    rig.push({"stat": {"time": "2026-11-26 04:00:00 GMT", "rxnb": 7, "rxok": 5, "rxfw": 5, "ackr": 99.5, "lati": None}})
    assert rig.ear.told == {"rxnb": 7, "rxok": 5, "rxfw": 5}
    rig.push({"rxpk": {}})
    rig.push(b"[" * 8000)
    rig.push(b'{"rxpk":[' + b'{"data":' * 2000)
    rig.push(b"\xff\xfe")
    rig.push(b"")
    assert rig.ear.dropped["malformed"] == 18
    assert len(rig.sent) == 7  # all are acknowledged: they arrived
    assert not rig.listener.dropped


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("FD00:0:0::20", "fd00::20"), ("fe80:0::1%eth0", "fe80::1%eth0"), ("::FFFF:c000:0207", "::ffff:192.0.2.7"),
        ("192.0.2.7", "192.0.2.7"),
    ],
)  # fmt: skip
def test_an_address_is_the_same_however_it_is_written(rig: Rig, written: str, told: str) -> None:
    ear = ForwarderEar(rig.listener, "tower", EUI, written, 14, rig.heard.append)
    rig.push({"rxpk": [rxpk()]}, source=(told, 40000, 0, 0))
    assert ear.packets == 1


def test_what_is_radiated_stays_lawful_whatever_the_antenna() -> None:
    """27 dBm e.r.p. at 869.525 MHz: 29.15 dBm e.i.r.p."""
    for gain_dbi, loss_db, power_dbm in ((2.15, 0.0, 27), (8.0, 1.5, 22), (20.0, 0.0, 9)):
        table = Forwarder(EUI, "127.0.0.1", power_dbm=27, antenna_gain_dbi=gain_dbi, cable_loss_db=loss_db)
        (ear,) = make_ears([table], Time(), lambda heard: None)
        assert ear.power_max_dbm == power_dbm


def test_who_sets_up_a_concentrator_reads_in_the_log_what_to_correct(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.push({"rxpk": [rxpk()]}, source=("192.0.2.7", 40000))
    rig.push({"rxpk": [rxpk()]}, eui="aa555a0000000102")
    rig.push({"rxpk": [rxpk()]}, eui="aa555a0000000102")
    assert [record.getMessage() for record in caplog.records] == [
        f"forwarder: {EUI} from 192.0.2.7 is not taken, no [[forwarder]] has this eui with this address",
        "forwarder: aa555a0000000102 from 127.0.0.1 is not taken, no [[forwarder]] has this eui",
    ]


def test_strangers_get_no_answer(rig: Rig) -> None:
    rig.push({"rxpk": [rxpk()]}, source=("192.0.2.7", 40000))
    rig.push({"rxpk": [rxpk()]}, eui="aa555a0000000102")
    for data in (b"", b"\x02", b"\x02abc", b"\x01" + bytes(11), b"\x02ab\x01" + bytes(8), bytes(20_000)):
        rig.listener.datagram_received(data, HERE)
    assert rig.listener.dropped == {"source": 1, "eui": 1, "short": 2, "version": 1, "type": 2, "long": 1}
    assert not rig.heard and not rig.sent


def test_a_datagram_that_comes_twice_is_one(rig: Rig) -> None:
    rig.push({"rxpk": [rxpk()]})
    rig.push({"rxpk": [rxpk()]}, token=7)
    rig.push({"rxpk": [rxpk(tmst=3_512_999_999)]})  # somebody plays it back: the replay window's matter
    assert (len(rig.heard), rig.ear.repeats) == (2, 1)
    for number in range(2 * forwarder.RECENT_MAX):
        rig.push({"rxpk": [rxpk(tmst=number)]})
    assert len(rig.ear._recent) == forwarder.RECENT_MAX


def test_time_of_receipt_is_that_of_the_quickest_datagram_over_wraps_and_restarts(rig: Rig) -> None:
    tmst = 0xFFFF_0000
    for _ in range(200):  # four hours, three wraps of the concentrator's clock
        rig.push({"rxpk": [rxpk(tmst=tmst)]})
        assert rig.heard[-1].received_ms == rig.time.wall_ms() and rig.heard[-1].fresh
        tmst = (tmst + 72_000_000) & 0xFFFF_FFFF
        rig.time.now_s += 72
    end_ms = rig.time.wall_ms()
    rig.time.now_s += 0.4
    rig.push({"rxpk": [rxpk(tmst=tmst)]})  # the network was slow
    assert abs(rig.heard[-1].received_ms - end_ms) <= 1 and rig.heard[-1].fresh
    rig.time.now_s += 4
    rig.push({"rxpk": [rxpk(tmst=tmst + 1_000_000)]})
    assert abs(rig.heard[-1].received_ms - end_ms - 1000) <= 10 and not rig.heard[-1].fresh
    rig.time.now_s += 30
    rig.push({"rxpk": [rxpk(tmst=9_000_000)]})  # the forwarder was started again
    assert rig.heard[-1].received_ms == rig.time.wall_ms() and rig.heard[-1].fresh


def test_silence_and_what_is_wrong_is_told(rig: Rig) -> None:
    assert "nothing was heard of aa555a0000000101 at 127.0.0.1" in rig.ear.state
    rig.listener.datagram_received(bytes.fromhex("02000702" + EUI), HERE)
    assert rig.ear.state == "open"
    rig.time.now_s += 60
    assert rig.ear.state == "the forwarder is silent"
    assert asyncio.run(rig.ear.send(DOWN)) == "closed"
    rig.listener.trouble = "cannot listen"
    assert rig.ear.state == "cannot listen"


def test_a_forwarder_that_pushes_and_does_not_pull_hears_and_cannot_answer(in_cell: InCell) -> None:
    """Its serv_port_down is another one: the status says so, and the ear beside it answers."""

    async def scenario(rig: CellRig) -> None:
        listener = Listener("127.0.0.1", 1700, rig)
        listener.trouble = ""
        listener.send = lambda data, to: True  # type: ignore[method-assign]
        ear = ForwarderEar(listener, "tower", EUI, "127.0.0.1", 14, lambda heard: rig.cell.on_heard(heard))
        mast = FakeEar(rig.air, "mast")
        node = AirNode(rig.air, 7)

        def stat() -> None:
            listener.datagram_received(bytes.fromhex("02000700" + EUI) + b'{"stat":{"rxnb":1}}', HERE)

        def heard(frame: bytes) -> None:
            stat()
            tmst = round(rig.monotonic_s() * 1e6) & 0xFFFF_FFFF
            packet = rxpk(tmst=tmst, freq=868.1, datr="SF9BW125", lsnr=9.0, size=len(frame))
            packet["data"] = base64.b64encode(frame).decode()
            body = json.dumps({"rxpk": [packet]}).encode()
            listener.datagram_received(bytes.fromhex("02000800" + EUI) + body, HERE)
            rig.air.hear(mast, frame, 9, UPLINKS_HZ[0], -3.0)

        node.out = heard
        rig.begin([ear, mast])
        await rig.add(node)
        await rig.pass_s(1)
        stat()
        assert ear.state == "open" and ear.mute == "", "it may pull in a moment"
        await rig.pass_s(30)
        stat()
        await rig.pass_s(10)
        assert ear.state == "open" and "is its serv_port_down 1700?" in ear.mute
        told = status(rig, rig.store, rig.uplinks, [], [], {}, rig.cell)["problems"]
        assert any("tower: its forwarder asks for no answers" in problem for problem in told)
        node.hello()
        await rig.pass_s(3)
        assert len(mast.sent) == 1 and rig.cell.posts["tower"].spent_us == {}
        listener.datagram_received(bytes.fromhex("02000702" + EUI), HERE)
        assert ear.mute == ""

    in_cell(scenario)


@pytest.mark.parametrize(
    ("body", "result"),
    [
        (b"", ""), (b'{"txpk_ack":{"error":"NONE"}}', ""), (b'{"txpk_ack":{"warn":"TX_POWER","value":20}}\0', ""),
        (b'{"txpk_ack":{"error":"TOO_LATE"}}', "late"), (b'{"txpk_ack":{"error":"TOO_EARLY"}}', "late"),
        (b'{"txpk_ack":{"error":"COLLISION_PACKET"}}', "busy"), (b'{"txpk_ack":{"error":"TX_FREQ"}}', "refused"),
        (b'{"txpk_ack":{"error":["?"]}}', "refused"),
    ],
)  # fmt: skip
def test_what_became_of_an_order(rig: Rig, body: bytes, result: str) -> None:
    async def run() -> str:
        rig.listener.datagram_received(bytes.fromhex("02000702" + EUI), HERE)
        sending = asyncio.create_task(rig.ear.send(DOWN))
        await wait_until_async(lambda: len(rig.sent) == 2, 60, "the order goes out")
        order, target = rig.sent[-1]
        assert target == HERE
        answer = bytes((2, order[1], order[2], 5)) + bytes.fromhex(EUI)
        rig.listener.datagram_received(bytes((2, 99, 99, 5)) + bytes.fromhex(EUI) + body, HERE)  # of no order of ours
        rig.listener.datagram_received(answer + b"{", HERE)
        rig.listener.datagram_received(answer + body, HERE)
        return await sending

    assert asyncio.run(run()) == result
    assert rig.ear.dropped == {"answer": 1, "malformed": 1}


def test_an_order_is_what_a_client_of_others_reads() -> None:
    theirs = pytest.importorskip("pamoja.gateway")
    packet = theirs.parse(encode_order(0x1234, DOWN))
    assert (packet.kind, packet.token) == ("PullResp", 0x1234)
    order = packet.transmit
    assert bytes(order.payload) == FRAME
    assert (order.frequency_hz, order.timestamp_us, order.power_dbm) == (869_525_000, 0xFFFF_FFF0, 22)
    assert order.invert_polarity and not order.without_crc and not order.immediate and order.preamble_symbols == 8
    assert order.link.airtime_us(13) == 164_864


def test_a_client_of_others_over_real_sockets() -> None:
    theirs = pytest.importorskip("pamoja.gateway")
    lora = pytest.importorskip("pamoja.lora")
    heard: list[Heard] = []

    async def run() -> str:
        table = Forwarder(listen="127.0.0.1:0", name="roof", eui=EUI, address="127.0.0.1", power_dbm=27)
        other = Forwarder(listen="127.0.0.1:0", name="mast", eui="aa555a0000000102", address="127.0.0.1", power_dbm=14)
        ear, second = make_ears([table, other], Time(), heard.append)
        assert ear._listener is second._listener
        tasks = [asyncio.create_task(one.run()) for one in (ear, second)]
        async with asyncio.timeout(60):
            await wait_until_async(lambda: ear._listener.bound, 60, "the socket listens")
            loop = asyncio.get_running_loop()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.setblocking(False)
                client.connect(ear._listener.bound[:2])

                async def ask(packet: Any) -> Any:
                    await loop.sock_sendall(client, theirs.encode(packet))
                    return theirs.parse(await loop.sock_recv(client, 4096))

                kinds = theirs.PacketKind
                answer = await ask(theirs.Packet(kinds.PULL_DATA, 7, gateway=EUI))
                assert (answer.kind, answer.token) == ("PullAck", 7)
                packets = [
                    theirs.Rxpk(
                        868_100_000, FRAME, link=lora.link(sf, 125_000), rssi_dbm=-101.0, snr_db=-7.2, timestamp_us=sf
                    )
                    for sf in range(7, 13)
                ]
                status = theirs.Stat(received=3, received_ok=2, forwarded=2)
                answer = await ask(theirs.Packet(kinds.PUSH_DATA, 8, gateway=EUI, packets=packets, status=status))
                assert (answer.kind, answer.token) == ("PushAck", 8)
                sending = asyncio.create_task(ear.send(DOWN))
                order = theirs.parse(await loop.sock_recv(client, 4096))
                assert bytes(order.transmit.payload) == FRAME
                done = theirs.Packet(kinds.TX_ACK, order.token, gateway=EUI, tx_status=theirs.TxStatus.NONE)
                await loop.sock_sendall(client, theirs.encode(done))
                result = await sending
        assert ear.told["rxnb"] == 3 and second.state != "open" and ear.state == "open"
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert ear.state == "closed"
        return result

    assert asyncio.run(run()) == ""
    assert [one.sf for one in heard] == [7, 8, 9, 10, 11, 12]
    assert {(one.freq_hz, one.rssi_dbm, one.snr_db, one.frame) for one in heard} == {(868_100_000, -101.0, -7.2, FRAME)}


def test_a_port_that_is_taken_is_told() -> None:
    async def run() -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            ear = ForwarderEar(Listener(*taken.getsockname(), Time()), "roof", EUI, "127.0.0.1", 27, lambda heard: None)
            with pytest.raises(OSError, match="in use"):
                await ear.run()
        return ear.state

    assert "cannot listen on 127.0.0.1:" in asyncio.run(run())


def test_a_record_comes_in_and_its_answer_goes_out_by_a_concentrator(in_cell: InCell) -> None:
    """Real sessions and store: the datagrams are the only way."""

    async def scenario(rig: CellRig) -> None:
        orders: list[Any] = []
        listener = Listener("127.0.0.1", 0, rig)
        listener.trouble = ""
        ear = ForwarderEar(listener, "roof", EUI, "127.0.0.1", 27, lambda heard: rig.cell.on_heard(heard))
        node = AirNode(rig.air, 7)
        tmst = 0

        def answered(data: bytes, target: Any) -> bool:
            if data[3] == forwarder.PULL_RESP:
                order = json.loads(data[4:])["txpk"]
                orders.append((order, tmst))
                listener.datagram_received(bytes((2, data[1], data[2], 5)) + bytes.fromhex(EUI), HERE)
                node.receive(base64.b64decode(order["data"]))
            return True

        def heard(frame: bytes) -> None:
            nonlocal tmst
            tmst = (0xFFFF_F000 + round(rig.monotonic_s() * 1e6)) & 0xFFFF_FFFF
            packet = rxpk(tmst=tmst, datr="SF8BW125", data=base64.b64encode(frame).decode(), size=len(frame))
            body = json.dumps({"rxpk": [packet]}).encode()
            for token in (1, 2):  # twice, as a bad network does
                listener.datagram_received(bytes((2, 0, token, 0)) + bytes.fromhex(EUI) + body, HERE)

        listener.send = answered  # type: ignore[method-assign]
        node.out = heard
        rig.begin([ear])
        await rig.add(node)
        listener.datagram_received(bytes.fromhex("02000702" + EUI), HERE)
        node.hello()
        await rig.pass_s(3)
        node.seal(START_S // 60)
        node.ask()
        await rig.pass_s(3)
        assert node.outbox == {} and rig.uplinks.accepted == 2 and ear.repeats == 2
        listener.datagram_received(bytes.fromhex("02000700" + EUI) + b"{", HERE)
        listener.datagram_received(bytes.fromhex("02000702" + EUI), ("192.0.2.1", 1))
        samples = [sample for family in metrics._lora(rig.cell.status()) for sample in family.samples]
        counted = {(sample.name, sample.labels.get("reason")): sample.value for sample in samples}
        assert counted["steiger_ear_dropped_total", "malformed"] == 1
        assert counted["steiger_forwarder_datagrams_dropped_total", "source"] == 1
        assert [order["tmst"] for order, _ in orders] == [(at + 1_000_000) & 0xFFFF_FFFF for _, at in orders]
        assert {(order["freq"], order["datr"], order["ipol"], order["powe"]) for order, _ in orders} == {
            (869.525, "SF8BW125", True, 27)
        }

    in_cell(scenario)


def test_a_flood_with_a_nodes_address_is_verified_twenty_times_a_second_and_alarmed(in_cell: InCell) -> None:
    async def scenario(rig: CellRig) -> None:
        roof, mast = rig.ear("roof"), rig.ear("mast")
        rig.begin()
        node = await rig.node(7, mast=-10, roof=-60)
        thief = AirNode(rig.air, 7, key=bytes(range(16)))
        forged = [bytes(seal_uplink(thief.keys, LORA, 7, n, 2, bytes(8))) for n in range(300)]
        began_s = rig.monotonic_s()
        for number, frame in enumerate(forged):  # a hundred a second, three seconds long
            rig.loop.call_later(number / 100, rig.air.hear, roof, frame, 9, roof.channels[0], 5.0)
        await rig.pass_s(1.5)
        node.hello()  # by the other ear, in the middle of it
        await rig.pass_s(3)
        assert rig.uplinks.accepted == 1 and len(mast.sent) == 1
        assert rig.dropped["tag"] + rig.dropped["throttled"] == 300
        assert 20 <= rig.dropped["tag"] <= 20 * (rig.monotonic_s() - began_s)
        report = status(rig, rig.store, rig.uplinks, [], [], {}, rig.cell)
        assert [told["frames"] for told in report["throttled"]] == [rig.dropped["throttled"]]
        assert any("floods" in problem and "node 7" in problem for problem in report["problems"])
        node.path_db = {"roof": -10.0}
        node.seal(START_S // 60)
        node.ask()  # the flood is over: this ear hears it as ever
        await rig.pass_s(3)
        assert rig.uplinks.accepted == 2
        await rig.pass_s(3600)
        report = status(rig, rig.store, rig.uplinks, [], [], {}, rig.cell)
        assert not any("floods" in problem for problem in report["problems"])

    in_cell(scenario)


FIELDS = sorted(rxpk()) + ["rsig", "rxpk", "stat", "foff", "rssis"]
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=8),
    max_leaves=20,
)  # fmt: skip


@pytest.mark.fuzz
@given(
    kind=st.sampled_from((0, 2, 5)) | st.integers(0, 255),
    body=st.binary(max_size=300)
    | _json.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(st.sampled_from(FIELDS), _json, max_size=6).map(
        lambda changes: json.dumps({"rxpk": [{**rxpk(), **changes}]}).encode()
    ),
    tail=st.binary(max_size=3),
)
def test_no_datagram_raises_and_none_is_believed_beyond_its_fields(kind: int, body: bytes, tail: bytes) -> None:
    rig = Rig()
    head = bytes((2, 0, 1, kind)) + bytes.fromhex(EUI)
    rig.listener.datagram_received(head + body + tail, HERE)
    rig.listener.datagram_received(body, HERE)
    assert not rig.listener.dropped["fault"]
    for heard in rig.heard:
        assert 0 < len(heard.frame) <= 255 and 7 <= heard.sf <= 12 and 0 <= heard.end_us <= 0xFFFF_FFFF
        assert -200 <= heard.rssi_dbm <= 50 and -50 <= heard.snr_db <= 50
    json.dumps(rig.ear.facts())
