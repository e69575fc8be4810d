"""The accelerator against `golden.matmul`: whole products, job by job, in both dataflows and with all activations."""

import cocotb
from cocotb.handle import HierarchyObject

from hw.engine.counters import COUNTER_BITS, COUNTERS
from hw.engine.planner import FIELD_BITS, KEPT_ERROR, SUMS, errors, modes
from sim.benches.inside.accelerator import AcceleratorBench, beats_without_way_out, product, random_product
from sim.benches.inside.checks import Mismatch, same
from sim.benches.inside.refusals import bits, reasons
from sim.benches.inside.signals import PAUSES
from sim.benches.inside.streams import watch_independence
from sim.benches.inside.testbench import patience
from sim.models.cycles import cycles
from sim.models.schedule import Machine


@cocotb.test
@cocotb.parametrize(pause=PAUSES, acc=PAUSES)
async def products_in_a_row(dut: HierarchyObject, pause: str, acc: str) -> None:
    """Products of random shape, many of a single block."""
    bench = AcceleratorBench(dut, pause, acc)
    await bench.run(bench.products(bench.blocks))


@cocotb.test
async def whole_product(dut: HierarchyObject) -> None:
    """A product whose edges are no multiples of the array's, and whose rows have as many blocks as the bench."""
    bench = AcceleratorBench(dut)
    m, n = (2 * edge + 1 for edge in (bench.design.rows, bench.design.cols))
    await bench.run([product(bench.design, bench.rng, m, n, bench.blocks)])


@cocotb.test
@cocotb.parametrize(acc=PAUSES)
async def single_blocks(dut: HierarchyObject, acc: str) -> None:
    """Products of one block, whose rows fill the way out."""
    bench = AcceleratorBench(dut, stall=acc)
    await bench.run(bench.products(bench.blocks, most=1))


@cocotb.test
async def blocked_drain(dut: HierarchyObject) -> None:
    """The output queue fills up and holds everything back, at the beat for whose rows there is no room, and nothing is
    lost; sums that are kept need no room, words may be late as well, and a reset at any moment leaves all of it."""
    bench = AcceleratorBench(dut)
    design = bench.design
    unseen = 0 if design.dataflow == "os" and design.rows > 2 else 2
    await bench.start()
    for turn in range(8):
        if turn % 4:
            bench.send(bench.products(2 * bench.blocks, most=1))
            await bench.cycles(2 * bench.settings.latency + int(bench.rng.integers(8 * design.rows)))
            await bench.reset()
        bench.sink.blocked = True
        before, window = -1, 2 * bench.settings.latency + 4 * design.panel_rows + design.x_depth
        products, late = [], ""
        if turn % 3 == 1:
            depth = design.w_depth or design.x_depth // design.rows
            rows = min(design.panel_rows, 2 * design.rows + 1)
            products = [product(design, bench.rng, rows, 3 * design.cols, depth + min(depth, 64))]
        elif turn % 3 == 2:  # of a beat each, so that there is no room left for the first of a job
            count, late = 2 * design.drain_rows // design.rows, "w" if turn % 2 else "x"
            short = (design.rows, design.cols, 1, design.activations[:1])
            products = [product(design, bench.rng, *short) for _ in range(count)]
        while sum(product.output_rows for product in products) < 2 * design.drain_rows:
            products += bench.products(bench.blocks, most=2)
        beats = bench.send(products, late, 2 * design.rows + 8)
        for _ in range(2 + patience(beats) // window):
            await bench.cycles(window)
            if (busy := bench.counters["busy"]) == before:
                break
            before = busy
        blocked = bench.counters["drain_blocked"]
        await bench.cycles(200)
        same("cycles blocked of the last 200", 200, bench.counters["drain_blocked"] - blocked, COUNTER_BITS)
        least, most = (beats_without_way_out(design, products, spare) for spare in (unseen, 0))
        if not least <= before <= most:
            raise Mismatch(f"{before} beats were taken, not {least} to {most}, before the output queue held all back.")
        bench.sink.blocked = False
        checked = bench.checked
        await bench.cycles(design.drain_rows)
        if (rows := (bench.checked - checked) // design.cols) < 3 * design.drain_rows // 4:
            raise Mismatch(f"The output queue was full, and {rows} rows came in {design.drain_rows} cycles.")
        if turn % 2:
            await bench.rows.empty(bench.work)
            same("beats", beats, bench.counters["busy"], COUNTER_BITS)
            await bench.reset()
    await bench.done(bench.send(bench.products(bench.blocks)))


@cocotb.test
async def waiting_jobs(dut: HierarchyObject) -> None:
    """While the first one's words do not come, as many jobs are taken as the design has, and one to plan; then all
    run."""
    bench = AcceleratorBench(dut)
    design, count = bench.design, bench.design.jobs + 8
    await bench.start()
    for name in "xw":
        bench.sources[name].send([None] * 200)
    beats = bench.send([product(design, bench.rng, 1, 1, 1) for _ in range(count)])
    await bench.cycles(100)
    same("jobs taken", design.jobs + 1, count - len(bench.sources["job"].waiting) - 1, 32)
    await bench.done(beats)


@cocotb.test
@cocotb.parametrize(pause=PAUSES[1:])
async def scarce_room(dut: HierarchyObject, pause: str) -> None:
    """The output queue is nearly always full, and words come late as well."""
    bench = AcceleratorBench(dut, pause)

    async def take_few() -> None:
        while True:
            bench.sink.blocked = True
            await bench.cycles(int(bench.rng.integers(1, 8 * bench.design.rows)))
            bench.sink.blocked = False
            await bench.cycles(int(bench.rng.integers(1, 4)))

    await bench.start()
    cocotb.start_soon(take_few())
    products = bench.products(bench.blocks, most=2)
    while sum(product.output_rows for product in products) < 2 * bench.design.drain_rows:
        products += bench.products(bench.blocks, most=2)
    await bench.done(bench.send(products))


@cocotb.test
async def no_cycle_too_many(dut: HierarchyObject) -> None:
    """One product at a time takes as many cycles of every cause as the model says, short tiles and long ones."""
    bench = AcceleratorBench(dut)
    await bench.start()
    await bench.cycles(1)  # until the counters show that they were reset
    for number in range(max(4, bench.blocks // 4)):
        job = random_product(bench.design, bench.rng, 2 * bench.design.rows if number % 2 else 40)
        before = {name: bench.counters[name] for name in COUNTERS}
        bench.send([job])
        await bench.rows.empty(bench.work)
        expected = cycles(Machine.of(bench.design), *job.shape, int8=job.int8).counters()
        for name in set(COUNTERS) - {"idle"}:
            what = f"product {number} of {job.shape}, cycles {name}"
            same(what, int(expected[name]), bench.counters[name] - before[name], COUNTER_BITS)
    bench.finish()


@cocotb.test
async def patient_consumer(dut: HierarchyObject) -> None:
    """valid comes without ready, and neither it nor the payload depends on ready."""
    bench = AcceleratorBench(dut, "random", patient=True)
    cocotb.start_soon(watch_independence(bench, bench.streams["acc"]))
    await bench.run(bench.products(bench.blocks))


@cocotb.test
async def illegal_jobs(dut: HierarchyObject) -> None:
    """Jobs that are refused, each with its reason, and sound ones between them."""
    bench = AcceleratorBench(dut)
    design, most = bench.design, (1 << FIELD_BITS) - 1
    sound = {"rows": 1, "tiles": 1, "steps": 1, **dict.fromkeys(modes(design), 0), "int8": int(not design.packed)}
    cases = [(name, sound | {name: 0}, "empty") for name in ("rows", "tiles", "steps")]
    cases += [("rows", sound | {"rows": n}, "too_many_rows") for n in (design.panel_rows + 1, most)]
    cases += [("steps", sound | {"steps": n}, "x_too_long") for n in (design.x_depth + 1, most)]
    # Each number by itself is allowed, but not their product.
    longest = min(design.x_depth, design.w_depth or design.x_depth)
    if -(-design.panel_rows // (design.rows if design.dataflow == "os" else 1)) * longest > design.x_depth:
        cases += [("x", sound | {"rows": design.panel_rows, "steps": longest}, "x_too_long")]
    if design.dataflow == "os":
        cases += [("w", sound | {"steps": design.w_depth + 1}, "w_too_long")]
    if design.keep_rows:
        cases += [(mode, sound | {mode: 1}, KEPT_ERROR) for mode in SUMS]
        cases += [("tiles", sound | {mode: 1, "tiles": design.keep_rows + 1}, KEPT_ERROR) for mode in SUMS]
    if not design.front_end:
        cases += [("raw", sound | {"raw": 1}, "activations")]
    elif design.int8:
        cases += [("raw", sound | {"raw": 1, "int8": 1}, "activations")]
    if len(design.activations) == 1:
        cases += [("int8", sound | {"int8": 1 - sound["int8"]}, "activations")]
    await bench.start()
    seen = bench.refusals()
    beats = 0
    for what, job, reason in cases:
        seen.clear()
        bench.sources["job"].send([job])
        for _ in range(patience(len(cases) * bench.work)):  # it may have to wait for those before it
            if seen:
                break
            await bench.edge
        await bench.cycles(20 + design.panel_rows)
        if reason not in (wrong := reasons(design, job)):
            raise AssertionError(f"{job} is not one to be refused for {reason}.")
        if seen != [bits(design, wrong)]:
            raise Mismatch(f"A job with bad {what} ({job}) should be refused for {reason}; the errors were {seen}.")
        bench.met(bench.refused[reason])
        beats += bench.send([random_product(design, bench.rng, 3)])
    seen.clear()
    await bench.done(beats)
    same("errors of sound jobs", 0, len(seen), 32)


@cocotb.test
async def refused_behind_others(dut: HierarchyObject) -> None:
    """While the words of jobs do not come, one that has too much at its end is refused, once, also where there is no
    room for another."""
    bench = AcceleratorBench(dut)
    design, window = bench.design, 100 + bench.design.panel_rows
    tile = design.rows if design.dataflow == "os" else 1
    most, sound = -(-design.panel_rows // tile), product(design, bench.rng, 1, 1, 1)
    large = {"rows": design.panel_rows, "tiles": 1, "steps": 1, **dict.fromkeys(modes(design), 0)}
    large["int8"] = int(not design.packed)
    wrong = [large | {"steps": design.x_depth // most // (1 + large["int8"]) + 1}]
    if design.keep_rows:
        wrong += [large | {mode: 1, "tiles": design.keep_rows // tile // most + 1} for mode in SUMS]

    await bench.start()
    beats, told, seen = 0, list[int](), bench.refusals()
    for job in wrong:
        for before in range(design.jobs + 2):
            for name in "xw":
                bench.sources[name].send([None] * 2 * window)
            beats += bench.send([sound] * before)
            bench.sources["job"].send([job])
            told.append(bits(design, reasons(design, job)))
            await bench.cycles(window)
            same("jobs that were refused", len(told) - (before > design.jobs), len(seen), 32)
            await bench.rows.empty(bench.work)
            await bench.cycles(window)
            same("errors", told[-1], seen[-1] if len(seen) == len(told) else 0, len(errors(design)))
    await bench.done(beats)


@cocotb.test
async def limits(dut: HierarchyObject) -> None:
    """Jobs about as large as is allowed, one after a reset: each is refused for all its reasons, or taken; and a reset
    meanwhile leaves nothing of it."""
    bench = AcceleratorBench(dut)
    design, rng, most = bench.design, bench.rng, (1 << FIELD_BITS) - 1
    depths = [depth for depth in (design.x_depth, design.w_depth) if depth]
    around = {
        "rows": [0, 1, 2, 3, design.panel_rows - 1, design.panel_rows, design.panel_rows + 1, most],
        "tiles": [0, 1, 2, 3, 4, *(max(1, design.keep_rows // rows) + d for rows in (1, 3) for d in (0, 1)), most],
        "steps": [0, 1, 2, 3, 4, *(depth + d for depth in depths for d in (0, 1)), most],
    }
    tile = design.rows if design.dataflow == "os" else 1
    usual, window = {"rows": design.panel_rows, "tiles": 3, "steps": 3}, design.panel_rows + 12
    await bench.start()
    for _ in range(100 + 4 * bench.blocks):
        job = {
            name: int(rng.choice(values) if rng.integers(2) else rng.integers(1, usual[name] + 1))
            for name, values in around.items()
        }
        if job["rows"] and not rng.integers(4):  # as many words of activations as there may be, or just too many
            job["steps"] = (design.x_depth + int(rng.integers(2))) // -(-job["rows"] // tile)
        job |= {mode: int(rng.integers(4) == 0) for mode in modes(design)}
        if design.front_end:
            job["raw"] = 0  # the bench of raw rows is about those
        elif not design.packed:
            job["int8"] = int(rng.integers(4) != 0)
        wrong = reasons(design, job)
        bench.sources["job"].send([job])
        if not rng.integers(8):
            await bench.cycles(int(rng.integers(1, 8)))
            await bench.reset()
            wrong, job = [], {}
        seen, taken = [], False
        for _ in range(window):
            await bench.edge
            seen += [int(bench.errors.value)] if int(bench.errors.value) else []
            taken |= bench.streams["x"].is_ready
        same(f"errors of {job}", bits(design, wrong), seen.pop() if seen else 0, len(errors(design)))
        same(f"further errors of {job}", 0, len(seen), 32)
        same(f"whether {job} is taken", int(bool(job) and not wrong), int(taken), 1)
        bench.checked += 1
        await bench.reset()
    bench.finish()


@cocotb.test
@cocotb.parametrize(acc=PAUSES)
async def reset_midway(dut: HierarchyObject, acc: str) -> None:
    """After a reset at any moment nothing of before is left, though the next product comes at once."""
    bench = AcceleratorBench(dut, stall=acc)
    await bench.start()
    for _ in range(12):
        bench.send(bench.products(2 * bench.blocks))
        await bench.cycles(int(bench.rng.integers(1, bench.blocks + 2 * bench.settings.latency)))
        await bench.reset()
        await bench.cycles(int(bench.rng.choice([0, 2 * bench.settings.latency])))
        bench.send(bench.products(1, most=3))
        await bench.rows.empty(bench.work)
        await bench.reset()
    await bench.done(bench.send(bench.products(bench.blocks)))
