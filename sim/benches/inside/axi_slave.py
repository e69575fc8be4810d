"""A memory behind AXI4 that stalls, reorders and fails."""

from collections import deque
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge
from cocotbext.axi import AxiResp
from cocotbext.axi.axi_slave import AxiSlaveRead, AxiSlaveWrite
from cocotbext.axi.sparse_memory import SparseMemory

from sim.benches.inside.axi_common import AxiBench
from sim.benches.inside.testbench import Testbench

WAITING = 32
"""Bursts that the memory accepts before it answers the first."""

GATHERING = 60
"""Cycles that a memory which is to interleave waits for a burst of another ID."""

ERRORS = (AxiResp.SLVERR, AxiResp.DECERR)


class Failures:
    """Decides which responses are errors.

    Parameters
    ----------
    rng : Generator
    """

    def __init__(self, rng: np.random.Generator):
        self.rng = rng
        self.after: int | None = None
        """Responses until one fails; None for never."""
        self.id: int | None = None
        """Of those that are counted; None for all."""

        self.first: dict[str, int] | None = None
        """What the first one was about: response, ID, and where its burst began."""

    def note(self, response: AxiResp, id: int, address: int) -> None:
        """Keeps what the first one that failed was about."""
        if response != AxiResp.OKAY and self.first is None:
            self.first = {"response": int(response), "id": id, "address": address}

    def next(self, id: int) -> AxiResp:
        """The next response, of that ID."""
        if self.after is None or self.id not in (None, id):
            return AxiResp.OKAY
        self.after -= 1
        if self.after >= 0:
            return AxiResp.OKAY
        self.after = None
        return ERRORS[int(self.rng.integers(len(ERRORS)))]


class ReadSide(AxiSlaveRead):
    """Answers bursts of one ID in their order, those of different IDs in any order and beat by beat; or, if it is to be
    `exact`, all in their order, a beat in each cycle, and each after the latency or after the one before it."""

    def __init__(self, bench: Testbench, bus: Any, target: SparseMemory, failures: Failures, exact: bool):
        self.bench, self.failures, self.exact = bench, failures, exact
        self.gathers = False
        """Whether it waits for bursts of several IDs, until it has turned from one to another."""
        self.latency = 0
        """The most cycles after which a burst can be answered."""
        self.crossed = 0
        """Times that a burst of another ID was turned to before all of one were answered."""
        super().__init__(bus, bench.clock, target=target, **bench.resets)
        self.ar_channel.queue_occupancy_limit = WAITING
        if exact:
            self.r_channel.queue_occupancy_limit = -1

    async def _process_read(self) -> None:
        if self.exact:
            await self._process_exactly()
        rng, waiting, coming = self.bench.rng, dict[int, deque[Any]](), deque[tuple[int, Any]]()
        present = -1
        while True:
            while not waiting or not self.ar_channel.empty() or self._is_due(coming):
                if self._is_due(coming):
                    _, burst = coming.popleft()
                elif coming and self.ar_channel.empty():
                    await self.bench.edge
                    continue
                else:
                    burst = await self.ar_channel.recv()
                    if self.latency:
                        coming.append((self.bench.cycle + int(rng.integers(self.latency + 1)), burst))
                        continue
                addresses = (int(burst.araddr) + i * self.byte_lanes for i in range(int(burst.arlen) + 1))
                waiting.setdefault(int(burst.arid), deque()).extend((burst, address) for address in addresses)
                if self.gathers and not self.crossed and len(waiting) == 1:
                    await self.bench.cycles(GATHERING)
            gathered = self.gathers and not self.crossed and len(waiting) > 1
            if present not in waiting or gathered or rng.random() < 0.3:
                before, present = present, int(rng.choice([i for i in waiting if not gathered or i != present]))
                self.crossed += before in waiting and before != present
            burst, address = waiting[present].popleft()
            if not waiting[present]:
                del waiting[present]
            await self.r_channel.send(self._reply(burst, address))

    def _reply(self, burst: Any, address: int) -> Any:
        reply, id, begin = self.r_channel._transaction_obj(), int(burst.arid), int(burst.araddr)
        reply.rid, reply.rlast = id, address == begin + int(burst.arlen) * self.byte_lanes
        reply.rresp = self.failures.next(id)
        self.failures.note(reply.rresp, id, begin)
        reply.rdata = int.from_bytes(self.target.read(address, self.byte_lanes), "little")
        return reply

    async def _process_exactly(self) -> None:
        """Looks in the middle of each cycle, when it is plain what the edge has brought."""
        coming = deque[tuple[int, Any]]()
        while True:
            await FallingEdge(self.bench.clock)
            while not self.ar_channel.empty():
                coming.append((self.bench.cycle + self.latency, self.ar_channel.recv_nowait()))
            while self._is_due(coming):
                _, burst = coming.popleft()
                for i in range(int(burst.arlen) + 1):
                    self.r_channel.send_nowait(self._reply(burst, int(burst.araddr) + i * self.byte_lanes))

    def _is_due(self, coming: deque[tuple[int, Any]]) -> bool:
        return bool(coming) and self.bench.cycle >= coming[0][0]


class WriteSide(AxiSlaveWrite):
    """Takes bursts; of one that is answered by an error nothing is kept. All are answered after the latency if it is to
    be `exact`."""

    def __init__(self, bench: AxiBench, bus: Any, target: SparseMemory, failures: Failures, exact: bool):
        self.bench, self.burst = bench, list[tuple[int, bytes]]()
        self.latency = 0
        """The most cycles after which a burst is answered."""
        super().__init__(bus, bench.clock, target=target, **bench.resets)
        if exact:
            for channel in (self.aw_channel, self.w_channel, self.b_channel):
                channel.queue_occupancy_limit = -1
        send = self.b_channel.send

        async def answer(reply: Any) -> None:
            reply.bresp = failures.next(0)
            if self.burst:  # none of it is left after a reset
                begins = self.burst[0][0] & -(bench.design.bus_bits // 8)  # what is written begins within a beat
                failures.note(reply.bresp, 0, begins)
            if reply.bresp == AxiResp.OKAY:
                for address, data in self.burst:
                    target.write(address, data)
            self.burst.clear()
            if exact:
                cocotb.start_soon(self._send_exactly(send, reply))
                return
            if self.latency:
                await bench.cycles(1 + int(bench.rng.integers(self.latency)))
            await send(reply)

        self.b_channel.send = answer

    async def _send_exactly(self, send: Any, reply: Any) -> None:
        for _ in range(self.latency + 1):
            await FallingEdge(self.bench.clock)
        await send(reply)

    async def _write(self, address: int, data: bytes) -> None:
        self.burst.append((address, data))

    def _handle_reset(self, state: bool) -> None:
        super()._handle_reset(state)
        self.burst.clear()
