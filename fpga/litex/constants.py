"""What the system, its firmware and the board around it agree on."""

CLOCK_HZ = 50_000_000
"""The system's clock, and the SDRAM's."""

BAUD = 1_000_000
"""Of the serial line."""

ROM_BYTES, RAM_BYTES = 16384, 8192
"""Of the firmware, and of its variables and stack."""

ROM = "soc_rom.init"
"""The file that Verilog reads the firmware from: a word of eight hexadecimal digits per line."""

STACK = 0x1000_0000 + RAM_BYTES
"""Where the firmware's stack begins: the end of the RAM."""

REGISTERS = 0x9000_0000
"""Where the processor finds the accelerator's registers."""

SDRAM_BYTES_PER_SECOND = 2 * CLOCK_HZ
"""Of the SDRAM's pins: 16 bits in every cycle."""
