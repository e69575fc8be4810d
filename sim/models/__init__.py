"""Models of the hardware: which jobs a product becomes, and how many cycles they take.

Knows design points; simulates nothing.
"""
