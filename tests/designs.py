"""Design points for hypothesis, of the same parameters as `sim.designs` covers pair by pair."""

from hypothesis import strategies as st

from sim.designs import PARAMETERS, design


def design_points(**fixed):
    """Any design point; `fixed` has values to choose from, by parameter. It shrinks towards the first values."""
    parameters = PARAMETERS | fixed
    values = st.fixed_dictionaries({name: st.sampled_from(some) for name, some in parameters.items()})
    return values.map(design).filter(lambda point: point is not None)
