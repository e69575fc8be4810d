"""Runs cocotb's runner in a process of its own: `python -m sim.benches build|test ARGUMENTS`.

The runner takes its environment from the process, ends the process when a simulation fails, and behaves differently
where it believes to be inside pytest: none of that belongs into the process of the caller.
"""

import json
import sys

from cocotb_tools.runner import get_runner


def main(command: str, arguments: str) -> None:
    """Calls `build` or `test` of the runner for Verilator with keyword arguments, given as a JSON object."""
    runner = get_runner("verilator")
    call = runner.build if command == "build" else runner.test
    call(**json.loads(arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])
