"""A liberty library of a dozen cells, written for these tests: numbers that can be checked by hand."""

GATES = {
    "INV": ("!A", 1.0),
    "BUF": ("A", 2.0),
    "NAND2": ("!(A*B)", 2.0),
    "NOR2": ("!(A + B)", 2.0),
    "AND2": ("A B", 3.0),  # a space is an AND as well
    "OR2": ("(A) + (B)", 3.0),
    "XOR2": ("A^B", 4.0),
    "XNOR2": ("(A^B)'", 4.0),  # an apostrophe is an inversion
    "AOI21": ("!((A*B) + C)", 3.0),
    "OAI21": ("!((A + B)*C)", 3.0),
}

DELAY, SLEW, ENERGY, CAPACITANCE, VOLTAGE = 20.0, 10.0, 3.0, 2.0, 2.0
"""ps at no load, ps, fJ per transition up (one less down), fF per input, V."""

FLOP_ENERGY = 7.0
"""fJ of a flip-flop's clock that rises, and none when it falls."""


def table(name: str, at_no_load: float, per_load: float) -> str:
    """A table over transition and load that only the load matters in."""
    row = f"{at_no_load}, {at_no_load + 10 * per_load}"
    return f'{name} (t2x2) {{ index_1 ("1, 100"); index_2 ("0, 10"); \\\n values ("{row}", \\\n "{row}"); }}'


def timing(pin: str, sense: str, kind: str = "combinational") -> str:
    """An arc of 20 ps and 1 ps per fF, up and down."""
    tables = "\n".join(table(name, DELAY, 1.0) for name in ("cell_rise", "cell_fall"))
    slews = "\n".join(table(name, SLEW, 0.0) for name in ("rise_transition", "fall_transition"))
    return f'timing () {{ related_pin : "{pin}"; timing_sense : {sense}; timing_type : {kind};\n{tables}\n{slews} }}'


def power(rise: float, fall: float, *, pin: str = "", when: str = "", supply: str = "VDD") -> str:
    """An internal energy that depends on nothing but its state."""
    heads = f'related_pin : "{pin}";' if pin else ""
    heads += f' when : "{when}";' if when else ""
    tables = f'rise_power (scalar) {{ values ("{rise}"); }}\nfall_power (scalar) {{ values ("{fall}"); }}'
    return f"internal_power () {{ {heads} related_pg_pin : {supply};\n{tables} }}"


SUPPLIES = """pg_pin (VDD) { pg_type : primary_power; voltage_name : "VDD"; }
pg_pin (VSS) { pg_type : primary_ground; voltage_name : "VSS"; }"""


def gate(name: str, function: str, area: float) -> str:
    """A gate with one output; its ground states the energies of its supply once more."""
    inputs = [pin for pin in "ABC" if pin in function]
    pins = "\n".join(f"pin ({pin}) {{ direction : input; capacitance : {CAPACITANCE}; }}" for pin in inputs)
    arcs = "\n".join(timing(pin, "non_unate") for pin in inputs)
    energies = "\n".join(
        power(ENERGY, ENERGY - 1, pin=pin, supply=supply) for pin in inputs for supply in ("VDD", "VSS")
    )
    out = f'pin (Y) {{ direction : output;\n function : "{function}";\n{arcs}\n{energies} }}'
    leakage = "leakage_power () { value : 4; related_pg_pin : VDD; }"
    return f"cell ({name}) {{\n area : {area};\n{SUPPLIES}\n{leakage}\n{pins}\n{out}\n}}"


def flop() -> str:
    """A flip-flop that takes its clock's energy when it rises on the state that it holds."""
    clock = "\n".join(power(FLOP_ENERGY, 0.0, when=when) for when in ("D * Q", "!D * !Q"))
    return f"""cell ("DFF") {{
 area : 10.0;
 cell_leakage_power : 6;
{SUPPLIES}
 ff (IQ, IQN) {{ clocked_on : "CK"; next_state : "D"; }}
 pin (CK) {{ direction : input; clock : true; capacitance : 1.0; {clock} }}
 pin (D) {{ direction : input; capacitance : {CAPACITANCE}; }}
 pin (Q) {{ direction : output; function : "IQ"; {timing("CK", "non_unate", "rising_edge")}
 {power(5.0, 5.0, pin="CK")} }}
}}"""


def library(*, name: str = "tiny", time: str = "1ps") -> str:
    """The liberty file."""
    cells = [gate(cell, *about) for cell, about in GATES.items()]
    unusable = gate("NAND2_TINY", "!(A*B)", 0.1).replace("area", "dont_use : true;\n area", 1)
    return "\n".join(
        [
            f"/* Made for tests. */\nlibrary ({name}) {{",
            f' time_unit : "{time}"; voltage_unit : "1V"; leakage_power_unit : "1pW"; current_unit : "1mA";',
            f" capacitive_load_unit (1, ff); nom_voltage : {VOLTAGE}; nom_temperature : 25;",
            ' pulling_resistance_unit : "1kohm"; delay_model : table_lookup;',
            " lu_table_template (t2x2) { variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;",
            '  index_1 ("1, 100"); index_2 ("0, 10"); }',
            *cells,
            flop(),
            unusable,
            "}\n",
        ]
    )
