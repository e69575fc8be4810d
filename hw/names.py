"""What a design may be called: its name becomes part of modules, files, macros of C and labels of FuseSoC.

No two of these can be the same, by construction: a design's tops are `gosset_<name>`, `gosset_<name>_axi` and
`gosset_<name>_axis`, its units `<top>__<unit>` (see `hw.units`), and its files begin with a top. So that no name reads
as part of another's, it consists of words with single underscores between, and none but the first is axi or axis.
"""

import re

from golden.errors import GossetError

LONGEST = 64
"""Characters of a name at most: file systems end at 255, with what the generator adds."""

SUFFIXES = ("axi", "axis")
"""What tops for a system add to the name of a design, behind an underscore."""

_KEYWORDS = """
accept_on alias always always_comb always_ff always_latch and assert assign assume automatic before begin bind bins
binsof bit break buf bufif0 bufif1 byte case casex casez cell chandle checker class clocking cmos config const
constraint context continue cover covergroup coverpoint cross deassign default defparam design disable dist do edge
else end endcase endchecker endclass endclocking endconfig endfunction endgenerate endgroup endinterface endmodule
endpackage endprimitive endprogram endproperty endsequence endspecify endtable endtask enum event eventually expect
export extends extern final first_match for force foreach forever fork forkjoin function generate genvar global
highz0 highz1 if iff ifnone ignore_bins illegal_bins implements implies import incdir include initial inout input
inside instance int integer interconnect interface intersect join join_any join_none let liblist library local
localparam logic longint macromodule matches modport module nand negedge nettype new nexttime nmos nor
noshowcancelled not notif0 notif1 null or output package packed parameter pmos posedge primitive priority program
property protected pull0 pull1 pulldown pullup pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase
randsequence rcmos real realtime ref reg reject_on release repeat restrict return rnmos rpmos rtran rtranif0
rtranif1 s_always s_eventually s_nexttime s_until s_until_with scalared sequence shortint shortreal showcancelled
signed soft solve specify specparam static string strong strong0 strong1 struct super supply0 supply1
sync_accept_on sync_reject_on table tagged task this throughout time timeprecision timeunit tran tranif0 tranif1
tri tri0 tri1 triand trior trireg type typedef union unique unique0 unsigned until until_with untyped use uwire var
vectored virtual void wait wait_order wand weak weak0 weak1 while wildcard wire with within wor xnor xor
"""

KEYWORDS = frozenset(_KEYWORDS.split())
"""Keywords of Verilog and SystemVerilog, IEEE 1800-2017, annex B; without small, medium and large, the strengths of
charges, which name presets here. A design's name is what its instance would be called."""

DEVICES = frozenset(
    ["con", "prn", "aux", "nul", "conin", "conout", *(f"{port}{i}" for port in ("com", "lpt") for i in range(10))]
)
"""Names that Windows keeps for devices, in capitals or not, whatever the suffix."""

_SHAPE = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*")


def check_name(name: object) -> None:
    """Checks the name of a design.

    Raises
    ------
    GossetError
        If it is no string of ASCII letters, digits and single underscores between them that begins with a letter; or
        is a keyword of SystemVerilog or a device of Windows; or could not be told from the names that are made of it.
    """
    whole = "The name of a design becomes a Verilog identifier"
    if not isinstance(name, str) or len(name) > LONGEST or not _SHAPE.fullmatch(name):
        shown = f"the one of {len(name)} characters" if isinstance(name, str) and len(name) > LONGEST else repr(name)
        raise GossetError(
            f"{whole}, which {shown} cannot be: at most {LONGEST} ASCII letters and digits, single underscores between "
            "them, a letter first."
        )
    if name.lower() in KEYWORDS:
        raise GossetError(f"{whole}, but {name!r} is a keyword of Verilog or SystemVerilog.")
    if name.lower() in DEVICES:
        raise GossetError(f"The name of a design becomes part of file names, but {name!r} is a device on Windows.")
    if taken := set(name.lower().split("_")[1:]) & set(SUFFIXES):
        raise GossetError(
            f"The name of a design cannot have _{min(taken)} in it, as {name!r} has: the tops for a system end in that."
        )
